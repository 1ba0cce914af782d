"""The report as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.simulate.goals import figures
from tests.simulate.results import Results, quantile
from tests.simulate.words import Mode

_KIND_HEAD = (
    "kind", "n", "right", "wrong", "missed", "roll", "prom", "retr", "incid", "moot", "median", "p90", "/bound", "us",
)  # fmt: skip


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Columns of equal width; the first `left` to the left, the others to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), "  ".join("-" * width for width in widths), *(line(row) for row in rows)])


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _count(value: int) -> str:
    return str(value) if value else "."


def kinds_table(results: Results) -> str:
    """A line per kind: counts of traces, minutes to the right verdict, labels over the bound, cost of a scrape."""
    rows = []
    for name, each in results.by_kind().items():
        counts = (
            each.right, each.wrong, each.missed, each.rolled_back, each.promoted, each.retrained, each.in_incident,
            each.moot,
        )  # fmt: skip
        rows.append(
            [
                name,
                str(len(each)),
                *(_count(share.x) for share in counts),
                _number(quantile(each.delays, 0.5)),
                _number(quantile(each.delays, 0.9)),
                _number(quantile(each.over_bound, 0.5), 2),
                f"{each.cost:.0f}",
            ]
        )
    return table(_KIND_HEAD, rows)


def goals_table(results: Mapping[Mode, Results]) -> str:
    """A line per figure of section 8 of the study for which there are traces."""
    found = figures(results)
    rows = [
        [str(each.goal), each.what, each.must, each.aim, each.measured, each.met]
        for each in found
        if each.met != "no data"
    ]
    missing = sorted({each.goal for each in found if each.met == "no data"})
    note = f"\n\nwithout traces, in whole or in part: goals {', '.join(map(str, missing))}" if missing else ""
    return table(("#", "figure", "must", "aim", "measured", "met"), rows, left=6) + note


def report_text(results: Mapping[Mode, Results]) -> str:
    """Everything."""
    parts = [f"mode {mode}\n\n{kinds_table(each)}" for mode, each in results.items()]
    return "\n\n".join([*parts, f"goals (study, section 8)\n\n{goals_table(results)}"])
