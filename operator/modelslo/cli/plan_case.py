"""What a plan rests on, and the words of the command line as numbers: errors name option, value and mend."""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from modelslo.api.quantity import UNIT_SECONDS, ratio, seconds
from modelslo.api.spec import STEPS, Gate, Rollout
from modelslo.cli.errors import MISUSE, CommandError
from modelslo.judge.planning import LARGEST_MARGIN, SMALLEST_MARGIN, USUAL_TOP, Course, Promise, Traffic
from modelslo.judge.tempering import MOST_PRIOR

PICTURES: Final = (".png", ".svg")
_RATE: Final = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?)/(?P<unit>[smhd])")
_PERCENT: Final = re.compile(r"(?P<number>[0-9]{1,3}(\.[0-9]{1,6})?)%")  # as fine as in a ModelSLO
_FINEST: Final = 1e-8
# Beyond these no traffic is, and forecasts would leave the range of numbers.
_RATES: Final = (1e-6, 1e9)
_CVS: Final = (0.001, 1000.0)
_LONGEST_RANGE: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Case:
    """A rollout to be planned. ``deadline`` in seconds; ``remarks``: where the numbers come from, and what is odd.

    ``mirror``: the canary is a shadow, and so much of the requests is copied to it.
    """

    title: str
    promise: Promise
    traffic: Traffic
    course: Course
    deadline: float | None = None
    within: tuple[float, ...] = ()
    remarks: tuple[str, ...] = ()
    mirror: float | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """The options of the command line that say a number; None: not given. Times in seconds."""

    rate: float | None = None
    shares: tuple[float, ...] | None = None
    cv: float | None = None
    phi: float | None = None
    top: float | None = None
    margin: float | None = None
    alpha: float | None = None
    beta: float | None = None
    delay: float | None = None
    within: tuple[float, ...] = ()
    span: float = 3600.0
    picture: Path | None = None
    mirror: float | None = None

    @property
    def measures(self) -> bool:
        """Whether Prometheus need not be asked."""
        return self.rate is not None and self.cv is not None

    @property
    def assumed(self) -> tuple[str, ...]:
        """What is taken for granted where nothing is measured."""
        independent = "Labels are taken as independent: give --phi when many come from one user or batch."
        reach = f"Buckets are taken to reach 30 times the mean loss (--top {USUAL_TOP:g})."
        return (*([independent] if self.phi is None else []), *([reach] if self.top is None else []))

    def promise(self, other: Promise) -> Promise:
        """`other`, but for what was given."""
        return Promise(_or(self.margin, other.margin), _or(self.alpha, other.alpha), _or(self.beta, other.beta))

    def traffic(self, other: Traffic) -> Traffic:
        return Traffic(
            _or(self.rate, other.rate),
            other.cv2 if self.cv is None else self.cv * self.cv,
            _or(self.phi, other.phi),
            _or(self.top, other.top),
        )


def case_of_numbers(given: Given) -> Case:
    """Without any server; what is not given is a default of the ModelSLO, and independent labels."""
    if given.rate is None or given.cv is None:
        missing = " and ".join(name for name, value in (("--rate", given.rate), ("--cv", given.cv)) if value is None)
        raise CommandError(
            f"{missing}: not given. Give NAME or -f FILE to read it from Prometheus, or say --rate 2/s --cv 1.0", MISUSE
        )
    rollout, gate = Rollout.model_fields, Gate.model_fields
    course = Course(
        shares=shares_of_shadow(given.mirror) if given.mirror else given.shares or tuple(map(ratio, STEPS)),
        step_duration=seconds(rollout["step_duration"].default),
        warmup=seconds(rollout["warmup"].default),
        delay=_or(given.delay, 0.0),
        least_age=seconds(gate["min_duration"].default),
        least_labels=gate["min_samples"].default,
    )
    usual = Promise(*(ratio(gate[name].default) for name in ("margin", "false_rollback", "false_promote")))
    return Case(
        "a rollout",
        given.promise(usual),
        given.traffic(Traffic(given.rate, given.cv**2)),
        course,
        deadline=seconds(gate["deadline"].default),
        within=given.within,
        remarks=("Numbers are as given.", *given.assumed),
        mirror=given.mirror,
    )


def shares_of_shadow(mirror: float) -> tuple[float, ...]:
    """A shadow that gets copies of so much of the requests has this share of the predictions."""
    return (mirror / (1 + mirror),)


def given_of(arguments: argparse.Namespace) -> Given:
    """Raises CommandError for what cannot be used."""
    if arguments.share is not None and arguments.mirror is not None:
        raise _wrong(
            "--share", arguments.share, "stands beside --mirror", "a shadow has no share: leave one of them out"
        )
    return Given(
        rate=None if arguments.rate is None else _rate(arguments.rate),
        shares=None if arguments.share is None else _shares(arguments.share),
        cv=None if arguments.cv is None else _number("--cv", arguments.cv, *_CVS, "1.0", least=True),
        phi=None if arguments.phi is None else _number("--phi", arguments.phi, 1.0, MOST_PRIOR, "1.5", least=True),
        top=None if arguments.top is None else _number("--top", arguments.top, 1.0, 1e9, f"{USUAL_TOP:g}"),
        margin=_percent("--margin", arguments.margin, LARGEST_MARGIN, "10%", SMALLEST_MARGIN),
        alpha=_percent("--false-rollback", arguments.false_rollback, 0.5, "5%"),
        beta=_percent("--false-promote", arguments.false_promote, 0.5, "5%"),
        delay=None if arguments.delay is None else _duration("--delay", arguments.delay, zero=True),
        within=()
        if arguments.within is None
        else tuple(_duration("--within", one) for one in arguments.within.split(",")),
        span=range_of(arguments.range),
        picture=None if arguments.picture is None else _picture(arguments.picture),
        mirror=_percent("--mirror", arguments.mirror, 1.0, "100%"),
    )


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _wrong(option: str, value: str, fault: str, mend: str) -> CommandError:
    return CommandError(f"{option}: {value!r} {fault}: {mend}", MISUSE)


def _rate(text: str) -> float:
    found = _RATE.fullmatch(text)
    mend = "write labels of both arms per time, such as 2/s or 7200/h"
    value = float(found["number"]) / UNIT_SECONDS[found["unit"]] if found else 0.0
    if value == 0:
        raise _wrong("--rate", text, "is no rate above 0", mend)
    least, most = _RATES
    if not least <= value <= most:
        raise _wrong("--rate", text, f"is not at least {least:g}/s and at most {most:g}/s", mend)
    return value


def _shares(text: str) -> tuple[float, ...]:
    found = tuple(_ratio("--share", one, "10% or 10%,25%,50%") for one in text.split(","))
    if any(not 0 < one < 1 for one in found):
        raise _wrong(
            "--share", text, "has a share of 0% or 100%", "write shares in between, such as 10% or 10%,25%,50%"
        )
    if any(after <= before for before, after in pairwise(found)):
        raise _wrong("--share", text, "does not ascend", "write each share larger than the one before")
    return found


def _ratio(option: str, text: str, example: str) -> float:
    found = _PERCENT.fullmatch(text)
    if not found:
        raise _wrong(
            option, text, "is not a percentage", f"write a number and %, at most 6 decimals, such as {example}"
        )
    return float(found["number"]) / 100


def _percent(option: str, text: str | None, most: float, example: str, least: float = _FINEST) -> float | None:
    """From `least` to `most`."""
    if text is None:
        return None
    found = _ratio(option, text, example)
    if not least <= found <= most:
        low = "above 0%" if least == _FINEST else f"at least {least:.2%}"
        raise _wrong(option, text, f"is not {low} and at most {most:.0%}", f"write such as {example}")
    return found


def _number(option: str, text: str, low: float, high: float, example: str, *, least: bool = False) -> float:
    """Between `low` and `high`; `low` itself only if `least`."""
    try:
        found = float(text)
    except ValueError:
        raise _wrong(option, text, "is no number", f"write such as {example}") from None
    if not (low <= found <= high) or (found == low and not least):
        bounds = f"is not {'at least' if least else 'above'} {low:g} and at most {high:g}"
        raise _wrong(option, text, bounds, f"write such as {example}")
    return found


def _duration(option: str, text: str, *, zero: bool = False) -> float:
    if zero and text in ("0", "0s"):
        return 0.0
    try:
        return seconds(text)
    except ValueError as error:
        raise CommandError(f"{option}: {error}", MISUSE) from None


def range_of(text: str) -> float:
    """`--range` in seconds."""
    found = _duration("--range", text)
    if found > _LONGEST_RANGE:
        raise _wrong("--range", text, "is longer than a day", "raw samples are read: write 1d or less, such as 6h")
    return found


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in PICTURES:
        raise _wrong("--picture", text, f"ends in none of {', '.join(PICTURES)}", "write such as plan.png")
    return path
