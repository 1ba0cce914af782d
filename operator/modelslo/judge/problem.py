"""The verdict law: what is missing, broken or cannot be compared, for which nothing may be decided. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Final

from modelslo.judge.arms import Arm, Arms, together
from modelslo.judge.parameters import Parameters
from modelslo.judge.scene import Scene
from modelslo.judge.shadow import hidden
from modelslo.judge.timing import Timing
from modelslo.judge.vetoed import unknown
from modelslo.observe.evidence import Evidence


class Unknown(StrEnum):
    """Why nothing can be said. Each is also a reason of a Hold."""

    NO_DATA = "NoData"
    STALE = "Stale"
    QUERY_ERROR = "QueryError"
    QUERY_TIMEOUT = "QueryTimeout"
    QUERY_WARNING = "QueryWarning"
    NAN_LOSS = "NaNLoss"
    LOW_COVERAGE = "LowCoverage"
    COVERAGE_DIFFERS = "CoverageDiffers"
    VERSION_NOT_SEEN = "VersionNotSeen"
    VETO_UNKNOWN = "VetoUnknown"


@dataclass(frozen=True, slots=True)
class Problem:
    """Why nothing is decided, in words for a person."""

    reason: Unknown
    message: str


_OLDEST_INTERVALS: Final = 4
_MIRROR: Final = " Does the mirror copy requests to the shadow?"


def oldest_fresh(timing: Timing, at: float) -> float:
    """Samples from before that time are too old at time `at` (Unix s) to say what is now."""
    return at - _OLDEST_INTERVALS * timing.interval - timing.settle


def problem_of(
    parameters: Parameters, arms: Arms, nan: Mapping[str, bool], evidence: Evidence, scene: Scene
) -> Problem | None:
    """The first reason for which nothing may be decided now, most fundamental first."""
    if evidence.gap is not None:
        return Problem(Unknown(evidence.gap.reason), evidence.gap.message)
    if evidence.slice_gap is not None:
        return Problem(Unknown(evidence.slice_gap.reason), evidence.slice_gap.message)
    timing, stable = parameters.timing, scene.stable_version
    fresh = oldest_fresh(timing, evidence.at)
    for role, version in (("stable", stable), ("canary", scene.canary_version)):
        if version is None:
            continue
        newest = evidence.newest.get(version)
        if newest is None:
            return Problem(
                Unknown.VERSION_NOT_SEEN,
                f"Prometheus has no series of the {role} version {version!r}. Does the exporter set that version?"
                f"{_MIRROR if role == 'canary' and scene.shadow else ''}",
            )
        if newest < fresh:
            return Problem(
                Unknown.STALE,
                f"The newest sample of the {role} version {version!r} is {evidence.at - newest:.0f} s old.",
            )
    served = _served(evidence, scene, timing.interval) if stable is None else {stable: evidence.newest[stable]}
    if served and max(served.values()) < fresh:
        age = evidence.at - max(served.values())
        return Problem(Unknown.STALE, f"The newest sample of any version is {age:.0f} s old.")
    broken = [one for one, newest in served.items() if newest >= fresh and nan.get(one, False)]
    if broken:
        role = "version" if stable is None else "stable version"
        return Problem(
            Unknown.NAN_LOSS,
            f"The loss sum of the {role} {broken[0]!r} is not a finite number, or it fell: the exporter let a "
            "NaN, an infinite or a negative loss into it. Losses are 0 or more. Nothing is decided until it is a "
            "number that rises (restart the exporter).",
        )
    silent = unknown(evidence, parameters.vetoes)
    if silent:  # what is missing never acts, however it came to be missing
        return Problem(Unknown.VETO_UNKNOWN, f"Not known whether a veto stands: {', '.join(silent)}.")
    return _label_problem(parameters, arms, evidence.at, scene)


def _label_problem(parameters: Parameters, arms: Arms, at: float, scene: Scene) -> Problem | None:
    stable = scene.stable_version
    # Without a rollout there are no roles: whatever serves users is watched.
    arm = together(arms, parameters.timing.interval, scene.shadows) if stable is None else arms.by_version.get(stable)
    whose = "any version" if stable is None else f"the stable version {stable!r}"
    if arm is None or arm.last_label is None:
        return Problem(Unknown.NO_DATA, f"No labelled prediction of {whose} was seen so far.")
    if at - arm.last_label > parameters.timing.max_age:
        return Problem(
            Unknown.STALE,
            f"The newest label of {whose} is {at - arm.last_label:.0f} s old; "
            f"spec.indicator.labels.maxAge allows {parameters.timing.max_age:.0f} s.",
        )
    coverage = arm.coverage(parameters.timing.delay)
    if parameters.min_coverage > 0 and coverage is not None and coverage < parameters.min_coverage:
        return Problem(
            Unknown.LOW_COVERAGE,
            f"Only {coverage:.0%} of the predictions have labels; spec.indicator.labels.minCoverage asks for "
            f"{parameters.min_coverage:.0%}.",
        )
    return _selected(parameters, arm, arms, scene)


def _served(evidence: Evidence, scene: Scene, interval: float) -> dict[str, float]:
    """When the newest sample was of each version that serves users."""
    unseen = hidden(scene.shadows, evidence.at - interval, evidence.at)
    return {version: newest for version, newest in evidence.newest.items() if version not in unseen}


# Predictions of each arm from which on their coverage is compared, and how far apart it may be.
_LEAST_DUE: Final = 50.0
_LEAST_OF_OTHER: Final = 0.5


def _selected(parameters: Parameters, stable: Arm, arms: Arms, scene: Scene) -> Problem | None:
    """Arms of which other shares have labels cannot be compared: what is missing may be the bad ones.

    Only since the last change of the shares: before it labels and predictions do not belong together.
    """
    canary = arms.by_version.get(scene.canary_version or "")
    changes = [span.end for span in scene.transitions]
    if canary is None or None in changes:
        return None
    since, delay = max((end for end in changes if end is not None), default=-inf), parameters.timing.delay
    shares = coverage_apart(stable.covered(delay, since), canary.covered(delay, since))
    if shares is None:
        return None
    return Problem(
        Unknown.COVERAGE_DIFFERS,
        f"{shares[1]:.0%} of the canary's predictions have labels and {shares[0]:.0%} of stable's: what is missing may "
        "be its bad or its good ones. Does the joiner know the predictions of both? Do labels take longer than "
        "spec.indicator.labels.delay?",
    )


def coverage_apart(stable: tuple[float, float], canary: tuple[float, float]) -> tuple[float, float] | None:
    """Coverage of both (labels, predictions due), where the one is below half of the other's; None: alike, or few."""
    (of_stable, due_stable), (of_canary, due_canary) = stable, canary
    if min(due_stable, due_canary) < _LEAST_DUE:
        return None
    shares = of_stable / due_stable, of_canary / due_canary
    return shares if min(shares) < _LEAST_OF_OTHER * max(shares) else None
