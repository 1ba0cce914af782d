"""Rollouts of a canary by which the goals are counted: without a regression, and with one."""

from __future__ import annotations

from typing import Final

from tests.simulate.kind import Clusters, Effect, Faults, Gap, Kind, NanLosses, Passing, Reset, Segment
from tests.simulate.lag import Backfill, Lag
from tests.simulate.losses import BIMODAL, BINARY, GAMMA, LOGNORMAL, NEAR_CONSTANT, PARETO, SQUARED, ZEROS
from tests.simulate.words import NO_ROLLBACK, PROMOTE, ROLLBACK

_RAMP: Final = ((0.0, 0.01), (0.25, 0.05), (0.75, 0.25), (1.5, 0.5))
_MEDIUM: Final = Clusters(size=4.0, spread=240.0, variance=0.5)
# Means of 1 over the mix: the SLO level is set on the whole.
_MIX_SHIFT: Final = (Segment("web", 0.7, 0.4, 0.7), Segment("app", 0.3, 0.6, 1.7))
_MILD_MIX: Final = (Segment("web", 0.8, 0.9, 0.75), Segment("app", 0.2, 0.1, 2.0))
_REGIONS: Final = (Segment("north", 0.5, 0.5, 0.8), Segment("south", 0.3, 0.3, 1.0), Segment("west", 0.2, 0.2, 1.5))

# Goals in minutes hang on how many labels a kind has. The rates of these two groups are such that the study's method to
# the letter (commit 1cf2e4e) takes as long as the study says of it: 43.1 and 74.0 min against 42.5 and 73.4, by the
# mean over kinds of the median of 10 traces. So a goal in minutes asks here what it asks there.
HARMLESS: Final = (
    # No change: families of losses, splits, traffic.
    Kind("same-exponential", "canary", "no change", PROMOTE, split=((0.0, 0.1),), rate=10.4),
    Kind("same-lognormal", "canary", "no change, 50:50", PROMOTE, loss=LOGNORMAL, split=((0.0, 0.5),), rate=2.6),
    Kind("same-gamma", "canary", "low variance, 25:75", PROMOTE, loss=GAMMA, split=((0.0, 0.25),), rate=2.6),
    Kind("same-heavy-tail", "canary", "Pareto 2.5, no change", PROMOTE, loss=PARETO, split=((0.0, 0.5),), rate=3.9),
    Kind(
        "same-binary", "canary", "0/1 losses of mean 0.2", PROMOTE,
        loss=BINARY, typical=0.2, split=((0.0, 0.25),), rate=7.8,
    ),
    Kind("same-zeros", "canary", "70 % of losses are 0", PROMOTE, loss=ZEROS, split=((0.0, 0.5),), rate=6.5),
    Kind("same-near-constant", "canary", "CV 0.2, 50:50", PROMOTE, loss=NEAR_CONSTANT, rate=1.04, split=((0.0, 0.5),)),
    Kind(
        "same-bimodal", "canary", "two humps, margin 0.05", PROMOTE,
        loss=BIMODAL, split=((0.0, 0.25),), rate=7.8, margin=0.05, edge_ratio=1.6,
    ),
    Kind("same-one-percent", "canary", "1:99 of 39 a second", PROMOTE, split=((0.0, 0.01),), rate=39.0, loss=GAMMA),
    Kind(
        "same-fast", "canary", "65 predictions a second, scraped every 15 s", PROMOTE,
        rate=65.0, dt=15.0, history=(120, 240), split=((0.0, 0.1),), loss=LOGNORMAL, typical=3.0,
    ),
    Kind(
        "same-slow", "canary", "0.26 predictions a second, 50:50, margin 0.2", PROMOTE,
        rate=0.26, dt=60.0, history=(120, 240), split=((0.0, 0.5),), margin=0.2, typical=40.0,
    ),
    Kind(
        "same-clustered", "canary", "4 labels a cluster, 50:50", PROMOTE,
        clusters=_MEDIUM, split=((0.0, 0.5),), rate=3.9, hours=36.0,
    ),
    # Better, or worse within the margin.
    Kind("better-exponential", "canary", "20 % better", PROMOTE, effect=Effect(0.8), rate=2.6, split=((0.0, 0.1),)),
    Kind(
        "better-binary", "canary", "20 % fewer errors", PROMOTE,
        effect=Effect(0.8), loss=BINARY, typical=0.15, rate=2.6, split=((0.0, 0.25),),
    ),
    Kind(
        "in-margin-3", "canary", "3 % worse, margin 10 %", PROMOTE,
        effect=Effect(1.03), loss=GAMMA, rate=6.5, split=((0.0, 0.25),),
    ),
    Kind(
        "in-margin-5", "canary", "5 % worse, margin 10 %", PROMOTE,
        effect=Effect(1.05), loss=GAMMA, rate=7.8, split=((0.0, 0.5),),
    ),
    Kind(
        "in-margin-10-of-20", "canary", "10 % worse, margin 20 %", PROMOTE,
        effect=Effect(1.1), margin=0.2, rate=3.9, split=((0.0, 0.25),), slo=1.4,
    ),
    # The rollout itself.
    Kind("split-ramp", "canary", "1, 5, 25, 50 % of the traffic", PROMOTE, split=_RAMP, rate=5.2, loss=LOGNORMAL),
    Kind(
        "slow-start", "canary", "first canary traffic after 40 min, little for another 40", PROMOTE,
        split=((0.0, 0.0), (0.66, 0.01), (1.33, 0.25)), rate=5.2,
    ),
    Kind("few-labels-same", "canary", "26 labels/h of the canary", NO_ROLLBACK, rate=0.0715, dt=60.0, hours=36.0),
    Kind(
        "no-history", "canary", "0 to 3 scrapes before the rollout", PROMOTE,
        history=(0, 3), rate=5.2, split=((0.0, 0.25),),
    ),
    # Time of day, mix.
    Kind(
        "daily-season", "canary", "traffic and loss with a daily wave, a day of history", PROMOTE,
        dt=60.0, history=(1440, 1560), day=0.6, season=0.2, rate=5.2, split=((0.0, 0.25),), slo=1.3,
    ),
    Kind(
        "mix-shift", "canary", "canary gets more of the bad segment, within segments no change", PROMOTE,
        segments=_MIX_SHIFT, rate=5.2, split=((0.0, 0.25),), loss=GAMMA,
    ),
    # Late labels.
    Kind(
        "lag-fixed", "canary", "labels after 60 min", PROMOTE,
        lag=Lag("fixed", 3600.0), rate=5.2, split=((0.0, 0.25),),
    ),
    Kind(
        "lag-exponential", "canary", "labels after 20 min on average, 70 % labelled", PROMOTE,
        lag=Lag("exponential", 1200.0), rate=5.2, split=((0.0, 0.25),), coverage=0.7, season=0.1,
    ),
    Kind(
        "lag-loss", "canary", "the worse the prediction, the later its label", PROMOTE,
        lag=Lag("loss", 900.0), rate=5.2, split=((0.0, 0.25),),
    ),
    Kind(
        "lag-batch", "canary", "labels arrive in batches, every 90 min", PROMOTE,
        lag=Lag("batch", 5400.0), rate=1.3, split=((0.0, 0.25),), hours=36.0,
    ),
    Kind(
        "backfill", "canary", "a flood of old labels from a bad time before the rollout", PROMOTE,
        backfill=Backfill(0.4, outage=(60.0, 110.0), release=(8.0, 40.0)), rate=5.2, split=((0.0, 0.25),),
        incidents=(Passing(at=(-1.8, -1.5), minutes=(50.0, 75.0), factor=(1.5, 1.9)),), history=(480, 480),
    ),
    # Incidents and bursts.
    Kind(
        "incident-both", "canary", "losses of both arms x 2 to 4 for 10 to 50 min", PROMOTE,
        incidents=(Passing(at=(0.1, 0.4), minutes=(10.0, 50.0), factor=(2.0, 4.0)),), rate=2.6, split=((0.0, 0.25),),
    ),
    Kind(
        "incident-unequal", "canary", "an incident that hits the canary 1.3 to 1.8 times as hard", NO_ROLLBACK,
        incidents=(
            Passing(at=(0.1, 0.4), minutes=(10.0, 40.0), factor=(2.0, 4.0), canary=(1.3, 1.8)),
        ),
        rate=2.6, split=((0.0, 0.25),),
    ),
    Kind(
        "burst", "canary", "traffic x 10 for 10 to 20 min", PROMOTE,
        bursts=(Passing(at=(0.2, 0.6), minutes=(10.0, 20.0), factor=(8.0, 12.0)),), rate=2.6, split=((0.0, 0.25),),
    ),
    # Telemetry.
    Kind(
        "resets", "canary", "counters restart at zero, wholly and for one pod of three, in both arms", PROMOTE,
        faults=Faults(
            pods=3,
            resets=(
                Reset("stable", (-1.5, -0.5), partly=True), Reset("canary", (0.2, 0.5)), Reset("stable", (0.2, 0.6)),
                Reset("canary", (0.5, 1.0), partly=True), Reset("stable", (0.4, 1.0), partly=True),
            ),
        ),
        rate=3.9, split=((0.0, 0.25),),
    ),
    Kind(
        "gaps", "canary", "scrapes missing of one arm and of both, others repeated", PROMOTE,
        faults=Faults(
            gaps=(
                Gap(("canary",), (0.2, 0.5), (3.0, 15.0)), Gap(("stable",), (0.4, 0.9), (3.0, 15.0)),
                Gap(("stable", "canary"), (0.1, 1.0), (2.0, 20.0)), Gap(("stable",), (-1.5, -0.5), (5.0, 20.0)),
            ),
            missing=0.02, repeated=0.03,
        ),
        rate=3.9, split=((0.0, 0.25),), loss=GAMMA,
    ),
    Kind(
        "nan-both", "canary", "NaN losses in both arms for two minutes: a telemetry fault", NO_ROLLBACK,
        nan=NanLosses(counted=True, share=0.05, at=(0.2, 0.5), hours=0.04, both=True), rate=3.9, split=((0.0, 0.25),),
    ),
)  # fmt: skip

REGRESSIONS: Final = (
    Kind("small-exponential", "canary", "1.25 x", ROLLBACK, effect=Effect(1.25), rate=6.5, split=((0.0, 0.1),)),
    Kind(
        "small-gamma", "canary", "1.2 x, low variance", ROLLBACK,
        effect=Effect(1.2), loss=GAMMA, rate=2.6, split=((0.0, 0.25),),
    ),
    Kind(
        "small-binary", "canary", "1.25 x as many errors", ROLLBACK,
        effect=Effect(1.25), loss=BINARY, typical=0.2, rate=6.5, split=((0.0, 0.25),),
    ),
    Kind(
        "small-tight", "canary", "1.12 x, margin 0.05, 50:50", ROLLBACK,
        effect=Effect(1.12), loss=BIMODAL, margin=0.05, rate=6.5, split=((0.0, 0.5),), edge_ratio=1.6,
    ),
    Kind("medium-lognormal", "canary", "1.5 x", ROLLBACK, effect=Effect(1.5), loss=LOGNORMAL, rate=1.3),
    Kind(
        "medium-heavy-tail", "canary", "1.5 x, Pareto 2.5", ROLLBACK,
        effect=Effect(1.5), loss=PARETO, rate=1.3, split=((0.0, 0.25),),
    ),
    Kind(
        "medium-one-percent", "canary", "1.5 x, 1:99 of 26 a second", ROLLBACK,
        effect=Effect(1.5), rate=26.0, split=((0.0, 0.01),),
    ),
    Kind(
        "medium-squared", "canary", "1.4 x, squared errors, 25:75", ROLLBACK,
        effect=Effect(1.4), loss=SQUARED, rate=2.6, split=((0.0, 0.25),),
    ),
    Kind(
        "medium-zeros", "canary", "1.5 x, 70 % of losses are 0", ROLLBACK,
        effect=Effect(1.5), loss=ZEROS, rate=5.2, dt=15.0, history=(480, 480), split=((0.0, 0.1),),
    ),
    Kind("large-exponential", "canary", "2 x, 5:95", ROLLBACK, effect=Effect(2.0), rate=2.6, split=((0.0, 0.05),)),
    Kind(
        "large-binary", "canary", "3 x as many errors", ROLLBACK,
        effect=Effect(3.0), loss=BINARY, typical=0.1, rate=2.6, split=((0.0, 0.1),),
    ),
    Kind(
        "few-labels-large", "canary", "2 x with 17 labels/h of the canary", ROLLBACK,
        effect=Effect(2.0), rate=0.0468, dt=60.0, history=(240, 480), hours=36.0,
    ),
    Kind(
        "tail-only", "canary", "2 % of the losses x 20", ROLLBACK,
        effect=Effect(rare=(0.02, 20.0)), rate=10.4, split=((0.0, 0.25),), loss=GAMMA,
    ),
    Kind(
        "one-segment", "canary", "2 x in the segment with 20 % of the traffic", ROLLBACK,
        effect=Effect(2.0, segment="west"), segments=_REGIONS, rate=2.6, split=((0.0, 0.25),),
    ),
    Kind(
        "late-onset", "canary", "2 x after 40 to 70 clean minutes", ROLLBACK,
        effect=Effect(2.0, onset=(0.66, 1.16)), rate=0.65, split=((0.0, 0.1),), loss=LOGNORMAL,
    ),
    Kind(
        "creeping", "canary", "to 1.8 x over an hour", ROLLBACK,
        effect=Effect(1.8, ramp=1.0), rate=1.3, split=((0.0, 0.1),),
    ),
    Kind(
        "clustered-medium", "canary", "1.5 x, 4 labels a cluster", ROLLBACK,
        effect=Effect(1.5), clusters=_MEDIUM, rate=2.6, split=((0.0, 0.25),),
    ),
    Kind(
        "lag-loss-medium", "canary", "1.5 x, and bad labels come late: the young canary looks good", ROLLBACK,
        effect=Effect(1.5), lag=Lag("loss", 900.0), rate=2.6, split=((0.0, 0.25),),
    ),
    Kind(
        "ramp-medium", "canary", "1.4 x while its share goes from 1 to 50 %, with a daily wave", ROLLBACK,
        effect=Effect(1.4), split=_RAMP, rate=2.6, season=0.2, day=0.5, slo=1.3,
        dt=60.0, history=(240, 360),
    ),
    Kind(
        "mix-hides", "canary", "1.4 x in every segment, but the canary gets the easy traffic", ROLLBACK,
        effect=Effect(1.4), segments=_MILD_MIX, rate=3.9, split=((0.0, 0.25),),
        lag=Lag("exponential", 300.0), coverage=0.8,
    ),
    Kind(
        "nan-counted", "canary", "losses turn NaN, the client counts them in +Inf", ROLLBACK,
        nan=NanLosses(counted=True, share=0.5, at=(0.17, 0.4)), rate=3.9, split=((0.0, 0.1),),
    ),
)  # fmt: skip

CANARY: Final = (*HARMLESS, *REGRESSIONS)
