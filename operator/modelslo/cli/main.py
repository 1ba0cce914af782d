"""`modelslo`, which is `kubectl modelslo` too. One row per subcommand; its module is loaded when it is called."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Final, NoReturn, cast

from modelslo.cli.errors import INTERRUPTED, CommandError
from modelslo.cli.streams import Stream, watched

Run = Callable[[argparse.Namespace], int]
_BELOW_ZERO: Final = re.compile(r"-\.?[0-9]")


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand. ``target`` is ``module:function``: from the parsed arguments to the exit code.

    ``own_streams``: it looks after its standard output itself.
    """

    name: str
    help: str
    target: str
    add_arguments: Callable[[argparse.ArgumentParser], None] | None = None
    own_streams: bool = False

    def load(self) -> Run:
        module, _, function = self.target.partition(":")
        return cast(Run, getattr(import_module(module), function))


def add_cluster_arguments(parser: argparse.ArgumentParser) -> None:
    """Which cluster and namespace, in kubectl's words."""
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="default: the context's")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig")
    parser.add_argument("--kubeconfig", metavar="FILE", help="default: $KUBECONFIG, ~/.kube/config, or the pod's own")


def _validate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", default=[], metavar="FILE", help="YAML or JSON; - is standard input")
    parser.add_argument(
        "-f",
        "--file",
        action="append",
        default=[],
        dest="more_files",
        metavar="FILE",
        help="the same, as with kubectl",
    )


def _get(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="in every namespace")
    parser.add_argument("-o", "--output", choices=("table", "json", "yaml"), default="table")
    add_cluster_arguments(parser)


def _describe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    add_cluster_arguments(parser)


def _doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("--prometheus-url", metavar="URL", help="ask this one, such as a port-forward")
    add_cluster_arguments(parser)


def _backtest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a ModelSLO of the cluster; with -f, of the file")
    parser.add_argument("-f", "--file", metavar="FILE", help="read the ModelSLO from here, not from a cluster")
    parser.add_argument("--from", dest="begin", metavar="TIME", help="RFC 3339, or how long ago: 24h (the default)")
    parser.add_argument("--to", dest="end", metavar="TIME", help="RFC 3339, or how long ago (default: now)")
    parser.add_argument("--stable", metavar="VERSION", help="who was stable at first (default: as the traffic shows)")
    parser.add_argument("--canary", metavar="VERSION", help="the only canary to be judged (default: every newcomer)")
    parser.add_argument(
        "--what-if",
        action="append",
        default=[],
        metavar="FIELD=VALUE[,...]",
        help="beside it another variant: spec.rollout.gate.margin=5%%; may be repeated",
    )
    parser.add_argument("--record", metavar="FILE", help="keep there what is read; what is there is not read again")
    parser.add_argument("--html", metavar="FILE", help="write a report with plots, in one file")
    parser.add_argument("--prometheus-url", metavar="URL", help="ask this one, such as a port-forward")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.add_argument(
        "--jsonl", action="store_true", help="observations on standard input, decisions on standard output"
    )
    add_cluster_arguments(parser)


def _plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a ModelSLO of the cluster; with -f, of the file")
    parser.add_argument("-f", "--file", metavar="FILE", help="read the ModelSLO from here, not from a cluster")
    parser.add_argument("--prometheus-url", metavar="URL", help="ask this one, such as a port-forward")
    parser.add_argument("--range", default="1h", metavar="TIME", help="how far back Prometheus is read (default: 1h)")
    parser.add_argument("--rate", metavar="RATE", help="labels of both arms per time: 2/s, 7200/h")
    parser.add_argument("--cv", metavar="NUMBER", help="standard deviation of one loss over the mean loss")
    parser.add_argument("--phi", metavar="NUMBER", help="overdispersion of clustered labels, 1 where independent")
    parser.add_argument("--top", metavar="NUMBER", help="1.25 times the last bucket edge, over the mean loss")
    parser.add_argument("--share", metavar="PERCENT[,...]", help="the canary's shares of the traffic: 10%%,25%%,50%%")
    parser.add_argument("--mirror", metavar="PERCENT", help="a shadow's: share of the requests that are copied to it")
    parser.add_argument("--margin", metavar="PERCENT", help="how much worse is acceptable")
    parser.add_argument("--false-rollback", metavar="PERCENT", help="accepted rate")
    parser.add_argument("--false-promote", metavar="PERCENT", help="accepted rate")
    parser.add_argument("--delay", metavar="TIME", help="label delay")
    parser.add_argument("--within", metavar="TIME[,...]", help="show what margin these times afford")
    parser.add_argument("--picture", metavar="FILE", help="draw the times into FILE.png or FILE.svg")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    add_cluster_arguments(parser)


def _aa(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a ModelSLO of the cluster; with -f, of the file")
    parser.add_argument("-f", "--file", metavar="FILE", help="read the ModelSLO from here, not from a cluster")
    parser.add_argument("--by", default="pod", metavar="LABEL", help="label that tells replicas apart (default: pod)")
    parser.add_argument("--version", metavar="VERSION", help="version that is compared with itself (default: stable's)")
    parser.add_argument("--prometheus-url", metavar="URL", help="ask this one, such as a port-forward")
    parser.add_argument("--range", default="6h", metavar="TIME", help="how far back Prometheus is read (default: 6h)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    add_cluster_arguments(parser)


COMMANDS: Final = (
    Command("get", "list ModelSLOs, or show one", "modelslo.cli.get:run", _get),
    Command("describe", "all about one ModelSLO, for people", "modelslo.cli.describe:run", _describe),
    Command("doctor", "say what Prometheus has of one ModelSLO, and what is wrong", "modelslo.cli.doctor:run", _doctor),
    Command("plan", "say how long a verdict on a canary will take", "modelslo.cli.plan:run", _plan),
    Command("aa", "say whether routing and metrics are fit for judging canaries", "modelslo.cli.aa:run", _aa),
    Command("validate", "check files without a cluster", "modelslo.cli.validate:run", _validate),
    Command("backtest", "say what would have been decided on recorded data", "modelslo.cli.backtest:run", _backtest),
    Command("run", "be the operator", "modelslo.cli.run:run", own_streams=True),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the subcommand. 0: done. 1: the answer is no. 2: wrong usage, or what was asked for cannot be written.
    3: the cluster or Prometheus cannot be asked. 130: interrupted.

    A reader that goes before the end (`modelslo get | head`) changes nothing of it.
    """
    with watched() as output:
        try:
            code = _ended(lambda: _called(arguments, output))
        except SystemExit:  # argparse: --help, or wrong usage
            if failed := _ended(lambda: _flushed(output)):
                raise SystemExit(failed) from None
            raise
        return _ended(lambda: _flushed(output)) or code


def command() -> NoReturn:
    """The process. An interrupted one does not wait for queries under way, nor complain of another Ctrl-C."""
    code = main()
    if code == INTERRUPTED:
        if sys.stderr is not None:
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _called(arguments: Sequence[str] | None, output: Stream | None) -> int:
    chosen = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    called: Command = chosen.command
    if called.own_streams and output is not None:
        sys.stdout = output.stream
    return called.load()(chosen)


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--margin -5%` as `--margin=-5%`: argparse takes a value that begins so for an option, and does not name it."""
    joined: list[str] = []
    for one in arguments:
        option = joined[-1] if joined else ""
        if _BELOW_ZERO.match(one) and len(option) > 2 and option.startswith("--") and "=" not in option:
            joined[-1] = f"{option}={one}"
        else:
            joined.append(one)
    return joined


def _flushed(output: Stream | None) -> int:
    """While a failure can still be told."""
    if output is not None:
        output.flush()
    return 0


def _ended(step: Callable[[], int]) -> int:
    """The exit status of a step, with the message of what ended it."""
    try:
        return step()
    except CommandError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    called = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(
        prog="kubectl modelslo" if called == "kubectl-modelslo" else "modelslo",
        description="Keeps machine-learning models inside their loss SLOs.",
    )
    parser.add_argument("--version", action="version", version=f"modelslo {version('modelslo')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        description = f"{command.help[:1].upper()}{command.help[1:]}."
        subparser = subparsers.add_parser(command.name, help=command.help, description=description)
        subparser.set_defaults(command=command)
        if command.add_arguments is not None:
            command.add_arguments(subparser)
    return parser


if __name__ == "__main__":
    command()
