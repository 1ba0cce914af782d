"""Plots over time as SVG text, for reports in one file. Pure. Colours are CSS; every text is escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from math import ceil, floor, log10
from typing import Final

_WIDTH, _HEIGHT = 960, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 26, 24
_MOST_POINTS: Final = 900
_TIMES: Final = 6
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Line:
    """(Unix time, value) in ascending order; None: a hole."""

    name: str
    colour: str
    points: Sequence[tuple[float, float | None]]


@dataclass(frozen=True, slots=True)
class Band:
    """(Unix time, low, high) in ascending order; None: a hole."""

    colour: str
    points: Sequence[tuple[float, float | None, float | None]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A level."""

    value: float
    colour: str
    name: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment (Unix time)."""

    at: float
    colour: str
    name: str


@dataclass(frozen=True, slots=True)
class Panel:
    """``least`` and ``most`` bound what is shown; without them lines, bands and rules do."""

    title: str
    lines: Sequence[Line]
    bands: Sequence[Band] = ()
    rules: Sequence[Rule] = ()
    marks: Sequence[Mark] = ()
    least: float | None = None
    most: float | None = None
    ticks: Callable[[float], str] = field(default=lambda value: f"{value:g}")


@dataclass(frozen=True, slots=True)
class _Scale:
    """From time and value to the picture."""

    begin: float
    end: float
    low: float
    high: float

    def x(self, at: float) -> float:
        return _LEFT + (at - self.begin) / (self.end - self.begin) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        return _TOP + (self.high - value) / (self.high - self.low) * (_HEIGHT - _TOP - _BOTTOM)


def drawn(panel: Panel) -> str:
    """The panel as an `svg` element."""
    scale = _scale(panel)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(panel.title)}">',
        f'<text x="{_LEFT}" y="14" style="fill:var(--ink)">{escape(panel.title)}</text>',
        *_grid(panel, scale),
        *(_band(band, scale) for band in panel.bands),
        *(_rule(rule, scale, number) for number, rule in enumerate(panel.rules)),
        *(_line(line, scale) for line in panel.lines),
        *(_mark(mark, scale) for mark in panel.marks),
        *_legend(panel),
        "</svg>",
    ]
    return "\n".join(parts)


def _scale(panel: Panel) -> _Scale:
    times = [at for line in panel.lines for at, _ in line.points]
    values = [value for line in panel.lines for _, value in line.points if value is not None]
    for rule in panel.rules:
        values.append(rule.value)
    for band in panel.bands:
        values += [value for _, *pair in band.points for value in pair if value is not None]
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = low if panel.least is None else panel.least
    high = high if panel.most is None else min(panel.most, high)
    if high - low < 1e-12:
        low, high = low - 0.5, high + 0.5
    margin = 0.05 * (high - low)
    begin, end = min(times, default=0.0), max(times, default=1.0)
    return _Scale(begin, end if end > begin else begin + 1, low - margin, high + margin)


def _grid(panel: Panel, scale: _Scale) -> list[str]:
    found = []
    for value in _ticks(scale.low, scale.high):
        y = scale.y(value)
        found.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="var(--grid)"/>')
        found.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(panel.ticks(value))}</text>')
    long = scale.end - scale.begin > 2 * 86_400
    for number in range(_TIMES + 1):
        at = scale.begin + (scale.end - scale.begin) * number / _TIMES
        text = f"{datetime.fromtimestamp(at, UTC):{'%d %b %H:%M' if long else '%H:%M'}}"
        anchor = "start" if number == 0 else "end" if number == _TIMES else "middle"
        found.append(f'<text x="{scale.x(at):.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{text}</text>')
    return found


def _ticks(low: float, high: float) -> list[float]:
    """About four round values."""
    rough = (high - low) / 4
    power = 10.0 ** floor(log10(rough))
    step = next(one * power for one in _STEPS if one * power >= rough * (1 - 1e-9))
    return [round(number * step, 12) for number in range(ceil(low / step), floor(high / step) + 1)]


def _line(line: Line, scale: _Scale) -> str:
    path, pen = [], "M"
    for at, value in _thinned(line.points):
        if value is None:
            pen = "M"
            continue
        path.append(f"{pen}{scale.x(at):.1f} {scale.y(value):.1f}")
        pen = "L"
    return f'<path d="{"".join(path)}" fill="none" stroke="{line.colour}" stroke-width="1.5"/>' if path else ""


def _band(band: Band, scale: _Scale) -> str:
    step = max(1, ceil(len(band.points) / _MOST_POINTS))
    found = []
    for (at, low, high), (until, low_after, high_after) in pairwise(band.points[::step]):
        if low is None or high is None or low_after is None or high_after is None:
            continue
        found.append(
            f"M{scale.x(at):.1f} {scale.y(low):.1f}L{scale.x(at):.1f} {scale.y(high):.1f}"
            f"L{scale.x(until):.1f} {scale.y(high_after):.1f}L{scale.x(until):.1f} {scale.y(low_after):.1f}Z"
        )
    return f'<path d="{"".join(found)}" fill="{band.colour}" fill-opacity="0.18"/>' if found else ""


def _rule(rule: Rule, scale: _Scale, number: int) -> str:
    if not scale.low <= rule.value <= scale.high:
        return ""
    # Names of levels that lie close together stand at other ends.
    y, (x, anchor) = scale.y(rule.value), ((_WIDTH - _RIGHT, "end"), (_LEFT + 4, "start"))[number % 2]
    return (
        f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="{rule.colour}" stroke-dasharray="4 4"/>'
        f'<text x="{x}" y="{y - 3:.1f}" text-anchor="{anchor}" style="fill:{rule.colour}">'
        f"{escape(rule.name)}</text>"
    )


def _mark(mark: Mark, scale: _Scale) -> str:
    x = scale.x(mark.at)
    return (
        f'<path d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}" stroke="{mark.colour}" stroke-width="1.5">'
        f"<title>{escape(mark.name)}</title></path>"
    )


def _legend(panel: Panel) -> list[str]:
    if len(panel.lines) < 2:
        return []
    found, x = [], _WIDTH - _RIGHT
    for line in reversed(panel.lines):
        found.append(f'<text x="{x}" y="14" text-anchor="end" style="fill:{line.colour}">{escape(line.name)}</text>')
        x -= 8 * len(line.name) + 16
    return found


def _thinned(points: Sequence[tuple[float, float | None]]) -> Sequence[tuple[float, float | None]]:
    """Every n-th point, where there are more than can be seen."""
    step = max(1, ceil(len(points) / _MOST_POINTS))
    return points[::step]
