"""A kind of trace: a frozen description. One builder makes traces of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt

from tests.simulate.lag import Backfill, Lag
from tests.simulate.losses import EXPONENTIAL, Loss
from tests.simulate.words import Action, Arm, Group, Span


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the traffic: its share of each arm's traffic and its loss relative to the overall typical loss."""

    name: str
    stable: float
    canary: float
    level: float = 1.0


@dataclass(frozen=True, slots=True)
class NanLosses:
    """Losses that turn NaN.

    Attributes:
        counted: The client counts them in `_count` and the +Inf bucket (client_golang); else it drops them from both
            (Python prometheus_client 0.26). Either way `_sum` is NaN for ever.
        share: Share of the losses that are NaN.
        at: Hours after the rollout.
        hours: How long it lasts.
        both: In both arms (telemetry fault), else in the canary alone.
    """

    counted: bool
    share: float
    at: Span
    hours: float = 1e6
    both: bool = False


@dataclass(frozen=True, slots=True)
class Effect:
    """What the canary does to the loss.

    Attributes:
        ratio: Mean loss of the canary over stable's, apart from `rare`.
        onset: Hours after the rollout at which it begins.
        ramp: Hours over which it grows to `ratio`.
        segment: Only in this segment.
        rare: (probability, factor) of catastrophic losses.
    """

    ratio: float = 1.0
    onset: Span = (0.0, 0.0)
    ramp: float = 0.0
    segment: str | None = None
    rare: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Clusters:
    """Labels of one user, or of one batch, that share a factor.

    Attributes:
        size: Mean number of predictions in a cluster; the number is geometric.
        spread: Seconds over which a cluster's predictions lie.
        variance: Of the shared factor, which has mean 1 and a gamma law.
    """

    size: float
    spread: float
    variance: float


@dataclass(frozen=True, slots=True)
class Wander:
    """Each arm's mean wanders, alone or as the other: exp of an Ornstein-Uhlenbeck process of mean 1 at every time."""

    sigma: float
    hours: float
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Passing:
    """Something with an end: an incident (factor on the losses) or a burst (factor on the traffic).

    Attributes:
        at: Hours after the rollout.
        minutes: How long it lasts.
        factor: On both arms.
        canary: Further factor on the canary alone.
    """

    at: Span
    minutes: Span
    factor: Span
    canary: Span = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Drift:
    """The world moves: a factor on the losses of both arms that stays. Hours: `onset` after k0, `ramp` until full."""

    factor: float
    onset: Span = (1.0, 4.0)
    ramp: float = 0.0


@dataclass(frozen=True, slots=True)
class Reset:
    """Counters of `arm` start again at zero, `at` hours after the rollout: of all its pods, or of one of them."""

    arm: Arm
    at: Span
    partly: bool = False


@dataclass(frozen=True, slots=True)
class Gap:
    """`arms` are not scraped for some minutes, `at` hours after the rollout."""

    arms: tuple[Arm, ...]
    at: Span
    minutes: Span


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on the way from the counters to the judge. `missing` and `repeated` are per arm and scrape."""

    pods: int = 1
    resets: tuple[Reset, ...] = ()
    gaps: tuple[Gap, ...] = ()
    missing: float = 0.0
    repeated: float = 0.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of trace.

    Attributes:
        name: Unique.
        group: How its traces are counted.
        about: One line for people.
        right: What a judge may do until the deadline; without `hold` it must do one of the others.
        dt: Seconds between scrapes.
        history: Lowest and highest number of scrapes before the rollout (k0).
        hours: Deadline, in hours after k0.
        rate: Predictions per second, both arms together.
        split: (hours after k0, canary's share from then on).
        day: Amplitude of the traffic's daily wave, relative.
        bursts: Of the traffic.
        loss: Family.
        typical: Mean loss of the healthy stable version.
        edge_ratio: Ratio of neighbouring bucket edges.
        edge_scale: The buckets were made for losses so many times the typical one.
        segments: Parts of the traffic; the judge knows them if `named`.
        named: See `segments`.
        lag: Of the labels.
        coverage: Share of the predictions that ever get a label.
        backfill: Outage of labels with a flood at its end.
        effect: Of the canary.
        nan: Losses that turn NaN.
        clusters: Dependence within an arm, short.
        wander: Dependence within an arm, long; or a world that moves both arms.
        season: Amplitude of the loss's daily wave, shared by the arms, relative.
        incidents: That pass.
        drift: That stays.
        faults: Of the telemetry.
        margin: Relative tolerance.
        slo: SLO level over the typical loss.
        has_canary: False: the stable version alone.
        strong: Boundary kinds whose dependence breaks the promise (study, section 9).
    """

    name: str
    group: Group
    about: str
    right: frozenset[Action]
    dt: float = 30.0
    history: tuple[int, int] = (240, 240)
    hours: float = 24.0
    rate: float = 2.0
    split: tuple[tuple[float, float], ...] = ((0.0, 0.1),)
    day: float = 0.0
    bursts: tuple[Passing, ...] = ()
    loss: Loss = EXPONENTIAL
    typical: float = 0.4
    edge_ratio: float = 1.8
    edge_scale: float = 1.0
    segments: tuple[Segment, ...] = ()
    named: bool = True
    lag: Lag = field(default_factory=Lag)
    coverage: float = 1.0
    backfill: Backfill | None = None
    effect: Effect = field(default_factory=Effect)
    nan: NanLosses | None = None
    clusters: Clusters | None = None
    wander: Wander | None = None
    season: float = 0.0
    incidents: tuple[Passing, ...] = ()
    drift: Drift | None = None
    faults: Faults = field(default_factory=Faults)
    margin: float = 0.1
    slo: float = 1.25
    has_canary: bool = True
    strong: bool = False

    @property
    def regression(self) -> bool:
        """Whether promoting this canary is wrong although it is not a boundary kind."""
        return self.has_canary and self.group in ("canary", "extra") and "rollback" in self.right

    @property
    def edges(self) -> tuple[float, ...]:
        """Finite bucket edges of the loss."""
        return self.loss.edges(self.typical * self.edge_scale, self.edge_ratio)

    @property
    def segment_margin(self) -> float:
        """The default of section 10 of the study: max(3 margin, margin / sqrt(smallest share))."""
        if not (self.segments and self.named):
            return 3.0 * self.margin
        return max(3.0 * self.margin, self.margin / sqrt(min(segment.stable for segment in self.segments)))

    @property
    def ratio(self) -> float:
        """Mean loss of the canary over that of stable on the same traffic, once the effect is full.

        With an effect in one segment: over the canary's own mix.
        """
        effect = self.effect
        full = effect.ratio * (1.0 + effect.rare[0] * (effect.rare[1] - 1.0) if effect.rare else 1.0)
        if effect.segment is None:
            return full
        base = sum(segment.canary * segment.level for segment in self.segments)
        hit = sum(segment.canary * segment.level for segment in self.segments if segment.name == effect.segment)
        return 1.0 + (full - 1.0) * hit / base

    @property
    def plain(self) -> bool:
        """Constant effect, one split, independent losses, labels at once: where section 8 gives a bound."""
        effect = self.effect
        steady = effect.onset == (0.0, 0.0) and not effect.ramp and not self.segments and self.nan is None
        independent = self.clusters is None and self.wander is None
        level = not (self.season or self.incidents or self.drift or self.backfill or self.bursts)
        prompt = self.lag.law == "none" and self.faults == Faults()
        one = self.has_canary and len(self.split) == 1 and self.edge_scale == 1.0
        return one and steady and independent and level and prompt
