"""`python -m tests.cluster`: the clusters from the command line; `--help` lists what there is."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from tests.cluster import bare, golang, images, kind, prometheus
from tests.cluster.progress import costs, say, side_by_side
from tests.cluster.shell import ClusterError


def _up(_: argparse.Namespace) -> None:
    print(kind.up().kubeconfig)


def _down(_: argparse.Namespace) -> None:
    kind.down()


def _load(arguments: argparse.Namespace) -> None:
    kind.up()
    for name, tag in images.load(*arguments.images).items():
        print(f"{name}\t{tag}")


def _kubeconfig(_: argparse.Namespace) -> None:
    print(kind.kubeconfig())


def _shell(_: argparse.Namespace) -> None:
    cluster = kind.up()
    path = f"{golang.kubectl().parent}:{os.environ.get('PATH', '')}"
    say("a shell with kubectl for the kind cluster; leave it with exit")
    shell = os.environ.get("SHELL", "/bin/sh")
    os.execve(shell, [shell], {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": path})  # noqa: S606


def _bare(arguments: argparse.Namespace) -> None:
    """Print the kubeconfig, then wait for Ctrl-C, a SIGTERM or the end of the control plane itself."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGCHLD, lambda *_: None)
    with bare.start(api_only=arguments.api_only) as cluster:
        print(cluster.kubeconfig, flush=True)
        say("a bare control plane runs until Ctrl-C")
        try:
            while cluster.process.poll() is None:
                signal.pause()
        except KeyboardInterrupt:
            say("ending it")


def _warm(_: argparse.Namespace) -> None:
    """Make every slow artefact; the cluster itself is quick once they are there."""
    side_by_side(kind.warm, golang.kube, prometheus.program)
    images.warm()
    for cost in costs():
        print(f"{cost.seconds:7.1f} s  {cost.what}")
    if not costs():
        print("the cache was warm")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="The clusters that the tests run on.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, what: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=what, description=what)
        sub.set_defaults(run=globals()[f"_{name}"])
        return sub

    command("up", "bring the kind cluster up, or say that it is; prints its kubeconfig")
    command("down", "delete the kind cluster")
    command("load", "build images and load them into the kind cluster").add_argument(
        "images", nargs="*", help="names in images.toml (all of them by default)"
    )
    command("shell", "a shell with kubectl for the kind cluster")
    command("bare", "run a bare control plane until Ctrl-C").add_argument(
        "--api-only", action="store_true", help="etcd and API server, nothing else"
    )
    command("warm", "make every slow artefact of the cache and print what it cost")
    command("kubeconfig", "print where the kind cluster's kubeconfig is")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run one command."""
    arguments = _parser().parse_args(words)
    try:
        arguments.run(arguments)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
