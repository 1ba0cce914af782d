"""`make demo`: plays the acts on a kind cluster. Exit code 0 only when each ended as it has to."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from examples.flights.demo.acts import ACTS, REPLAY, Demo
from examples.flights.demo.kube import NAMESPACE, KubectlError
from examples.flights.demo.plot import draw
from examples.flights.demo.stage import ROOT, operator_log, raise_curtain
from examples.flights.demo.view import ActError
from tests.cluster.shell import ClusterError


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights.demo", description=__doc__)
    parser.add_argument("--picture", type=Path, default=ROOT / ".run/demo.png", help="where the PNG goes")
    everything = ",".join(str(number) for number in range(1, len(ACTS)))
    parser.add_argument("--acts", default=everything, help="the acts to play, by number; the prologue always plays")
    arguments = parser.parse_args(argv)
    acts = arguments.acts.split(",")
    if not set(acts) <= set(everything.split(",")):
        parser.error(f"--acts {arguments.acts}: name acts of {everything}, with commas")
    try:
        view = raise_curtain()
    except (ClusterError, KubectlError, TimeoutError) as error:
        print(f"\033[31m✘ no stage for the demo: {error}\033[0m", file=sys.stderr)
        return 1
    demo, start = Demo(view.kube, view), time.time()
    failed = play(demo, [int(one) for one in acts])
    target = yaml.safe_load((ROOT / "examples/flights/modelslo.yaml").read_text())["spec"]["objective"]["target"][
        "value"
    ]
    try:
        draw(demo, start, time.time(), float(target), arguments.picture)
    except KubectlError as error:
        print(f"\033[31m✘ no picture: {error}\033[0m", flush=True)
        failed = True
    print("\nDecisions:")
    for one in demo.view.decisions.values():
        print(f"  {one['at']} {one['action']:8} {one['version']:24} {one['reason']}: {one['message']}")
    view.summary()
    print(f"\nPicture: {arguments.picture}")
    if not failed:
        rest(demo)
    print("FAILED" if failed else "All acts came true.")
    return 1 if failed else 0


def rest(demo: Demo) -> None:
    """Ends the traffic, so that what comes after the demo has the machine to itself; the rest stays to be looked at."""
    try:
        demo.kube.run("scale", "deployment", REPLAY, "--namespace", NAMESPACE, "--replicas=0")
    except KubectlError as error:
        print(f"The replay goes on: {error}", file=sys.stderr)
        return
    print(
        "The replay is stopped and the cluster stays: `make cluster-shell` looks around, `make cluster-down` ends it."
    )


def play(demo: Demo, acts: Sequence[int]) -> bool:
    """Plays the prologue and these acts; true when one failed."""
    for title, act in [ACTS[0], *(ACTS[number] for number in acts)]:
        demo.view.act(title)
        began = time.monotonic()
        try:
            act(demo)
        except (ActError, KubectlError) as error:
            print(f"\033[31m✘ {error}\033[0m\n\nThe operator's log:\n{operator_log(demo.kube)}", flush=True)
            return True
        finally:
            demo.view.took(title, began)
    return False


if __name__ == "__main__":
    sys.exit(main())
