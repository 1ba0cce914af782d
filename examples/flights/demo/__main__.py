"""`make demo`: plays the acts on a kind cluster. Exit code 0 only when each ended as it has to."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from examples.flights.demo.acts import ACTS, Demo
from examples.flights.demo.kube import KubectlError
from examples.flights.demo.plot import draw
from examples.flights.demo.stage import ROOT, operator_log, raise_curtain
from examples.flights.demo.view import ActError


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights.demo", description=__doc__)
    parser.add_argument("--picture", type=Path, default=ROOT / ".run/demo.png", help="where the PNG goes")
    everything = ",".join(str(number) for number in range(1, len(ACTS)))
    parser.add_argument("--acts", default=everything, help="the acts to play, by number; the prologue always plays")
    arguments = parser.parse_args(argv)
    view = raise_curtain()
    demo, start = Demo(view.kube, view), time.time()
    failed = play(demo, [int(one) for one in arguments.acts.split(",")])
    target = yaml.safe_load((ROOT / "examples/flights/modelslo.yaml").read_text())["spec"]["objective"]["target"][
        "value"
    ]
    draw(demo, start, time.time(), float(target), arguments.picture)
    print("\nDecisions:")
    for one in demo.view.decisions.values():
        print(f"  {one['at']} {one['action']:8} {one['version']:24} {one['reason']}: {one['message']}")
    view.summary()
    print(f"\nPicture: {arguments.picture}")
    print("FAILED" if failed else "All acts came true.")
    return 1 if failed else 0


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
