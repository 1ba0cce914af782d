"""`python -m tests.bench`: 100 and 500 ModelSLOs on a real API server and a real Prometheus, as one table."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping

from tests.bench import micro, table
from tests.bench.fleet import Kind, Mix, Shape
from tests.bench.measure import Result, kinds_of, measured


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--models", type=int, nargs="*", default=[100, 500], help="size of each run (0: none)")
    parser.add_argument("--seconds", type=int, default=180, help="measured time of each run")
    parser.add_argument("--interval", type=int, default=10, help="of every ModelSLO, in seconds")
    parser.add_argument(
        "--mix",
        type=Mix,
        choices=list(Mix),
        nargs="+",
        default=[Mix.MIXED, Mix.QUIET],
        help="kinds of models; the first one in every size, others in the last (default: mixed, and quiet: what it "
        "costs when nothing changes)",
    )
    parser.add_argument("--no-restart", action="store_true", help="do not kill -9 the operator at the end")
    parser.add_argument("--no-micro", action="store_true", help="leave the micro-benchmarks out")
    arguments = parser.parse_args()
    os.environ["KUBECONFIG"] = os.devnull
    interval = arguments.interval
    shape = Shape(interval, 2 * interval, max(1, interval // 2), interval, (6 * interval, 12 * interval, 18 * interval))
    results: list[tuple[Result, Mapping[Kind, float]]] = []
    sizes, first = [models for models in arguments.models if models], arguments.mix[0]
    runs = [(models, first) for models in sizes] + [(sizes[-1], mix) for mix in arguments.mix[1:] if sizes]
    for models, mix in runs:
        _say(f"{models} models, {mix}")
        restart = not arguments.no_restart and mix is first
        with measured(models, arguments.seconds, shape, mix=mix, restart=restart, say=_say) as (result, place):
            results.append((result, result.writes_by_kind(kinds_of(place))))
        _details(result)
    if results:
        print(table.rendered(results))
    if not arguments.no_micro:
        print(micro.rendered(micro.run()))
    return 1 if any(result.wrong or result.share_done < 0.99 for result, _ in results) else 0


def _say(words: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {words}\n")
    sys.stderr.flush()


def _details(result: Result) -> None:
    print(f"\n{result.models} models, {result.seconds:.0f} s, load average {os.getloadavg()[0]:.1f}:")
    print(table.requests(result))
    for name, found in list(result.wrong.items())[:20]:
        print(f"WRONG {name}: {'; '.join(found)}")
    print(flush=True)


if __name__ == "__main__":
    sys.exit(main())
