"""Many traces, judged in worker processes; resumes where it stopped."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.simulate.deciders import Factory, decider
from tests.simulate.drive import Row, drive
from tests.simulate.kind import Kind
from tests.simulate.kinds import KINDS
from tests.simulate.results import Results
from tests.simulate.words import Mode

_BATCH: Final = 5
_PROGRESS_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Task:
    """Some traces of one kind."""

    kind: str
    mode: Mode
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """What a report covers."""

    kinds: tuple[Kind, ...]
    traces: int
    modes: tuple[Mode, ...]
    seed: int
    decider: str
    jobs: int
    output: Path | None

    def tasks(self, done: Iterable[Row]) -> list[Task]:
        """What is not done yet: the first traces of every kind come first, so that a part covers all kinds."""
        known = {(row.mode, row.kind, row.number) for row in done}
        tasks = []
        for first in range(0, self.traces, _BATCH):
            numbers = range(first, min(first + _BATCH, self.traces))
            for mode in self.modes:
                for kind in self.kinds:
                    left = tuple(number for number in numbers if (mode, kind.name, number) not in known)
                    if left:
                        tasks.append(Task(kind.name, mode, left))
        return tasks


@dataclass(frozen=True, slots=True)
class _Worker:
    """What a worker process holds: a piped program is started once for all its traces."""

    factory: Factory
    name: str
    seed: int


_worker: _Worker | None = None


def _start(name: str, seed: int) -> None:
    global _worker
    _worker = _Worker(decider(name), name, seed)


def _work(task: Task) -> list[Row]:
    assert _worker is not None
    factory, name, seed = _worker.factory, _worker.name, _worker.seed
    kind = KINDS[task.kind]
    return [drive(kind, number, factory, seed=seed, mode=task.mode, name=name) for number in task.numbers]


def read(path: Path) -> Iterator[Row]:
    """The rows of an output file. A last line that was cut off by a kill is cut away from the file."""
    if not path.exists():
        return
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        path.write_bytes(whole)
    for line in whole.splitlines():
        yield Row.from_json(json.loads(line))


def run(order: Order) -> dict[Mode, Results]:
    """Judges what is missing, and returns all rows of the order by mode."""
    rows = [row for row in (read(order.output) if order.output else ()) if _wanted(row, order)]
    tasks = order.tasks(rows)
    for row in _judged(tasks, order):
        rows.append(row)
    rows.sort(key=lambda row: row.number)
    return {mode: Results(tuple(row for row in rows if row.mode == mode)) for mode in order.modes}


def _wanted(row: Row, order: Order) -> bool:
    same = row.seed == order.seed and row.decider == order.decider and row.mode in order.modes
    return same and row.number < order.traces and KINDS.get(row.kind) in order.kinds


def _judged(tasks: Sequence[Task], order: Order) -> Iterator[Row]:
    """The rows of `tasks` as they come, each written to the output first."""
    if not tasks:
        return
    begun = said = time.monotonic()
    out = order.output.open("a") if order.output else None
    finished, whole = 0, sum(len(task.numbers) for task in tasks)
    with ProcessPoolExecutor(order.jobs, initializer=_start, initargs=(order.decider, order.seed)) as pool:
        futures = [pool.submit(_work, task) for task in tasks]
        try:
            for future in as_completed(futures):
                for row in future.result():
                    if out:
                        out.write(json.dumps(row.to_json()) + "\n")
                    finished += 1
                    yield row
                if out:
                    out.flush()
                now = time.monotonic()
                if now - said > _PROGRESS_SECONDS:
                    said = now
                    left = (now - begun) / finished * (whole - finished)
                    print(f"{finished} of {whole} traces, {left / 60.0:.0f} min left", file=sys.stderr, flush=True)
        finally:
            for future in futures:
                future.cancel()
            if out:
                out.close()
