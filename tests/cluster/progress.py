"""Says what a slow step does, how long it has been at it, and how long it took.

Quick steps stay silent; a step that goes on prints a line when it starts to be slow, then one every half minute, so
that a person (or a CI log) sees that something is alive. Lines go to standard error, one write each, so that steps
side by side do not mix within a line.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

_QUIET_SECONDS = 1.0
_EVERY_SECONDS = 30.0


@dataclass(frozen=True)
class Cost:
    """What one finished step cost."""

    what: str
    seconds: float


_costs: list[Cost] = []


def costs() -> Sequence[Cost]:
    """The steps of this process that took longer than a moment, in the order they ended."""
    return tuple(_costs)


def say(text: str) -> None:
    """Print one line of progress."""
    sys.__stderr__ and os.write(sys.__stderr__.fileno(), f"[cluster] {text}\n".encode())


@contextmanager
def step(what: str, expect: str = "") -> Iterator[None]:
    """Tell how `what` goes on; `expect` is how long it usually takes, for the reader's patience."""
    done = threading.Event()
    began = time.monotonic()

    def tell() -> None:
        if done.wait(_QUIET_SECONDS):
            return
        say(f"{what} ..." + (f" (usually {expect})" if expect else ""))
        while not done.wait(_EVERY_SECONDS):
            say(f"{what}: {time.monotonic() - began:.0f} s so far")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    outcome = "failed after"
    try:
        yield
        outcome = "done in"
    finally:
        done.set()
        teller.join()
        took = time.monotonic() - began
        if took > _QUIET_SECONDS:
            _costs.append(Cost(what, took))
            say(f"{what}: {outcome} {took:.1f} s")


def side_by_side(*jobs: Callable[[], object]) -> None:
    """Run the jobs at the same time; wait for all of them, then raise the first failure if there was one."""
    with ThreadPoolExecutor(max_workers=max(1, len(jobs))) as pool:
        futures = [pool.submit(job) for job in jobs]
    for future in futures:
        future.result()
