"""Rollouts of a canary that once were judged wrongly, or that nobody promised anything of."""

from __future__ import annotations

from typing import Final

from tests.simulate.kind import Effect, Faults, Kind, NanLosses, Passing, Segment, Wander
from tests.simulate.lag import Lag
from tests.simulate.losses import (
    BIMODAL,
    BINARY,
    GAMMA,
    LIGHT_PARETO,
    LOGNORMAL,
    NEAR_CONSTANT,
    PARETO,
    WIDE_LOGNORMAL,
    WILD_PARETO,
)
from tests.simulate.words import HOLD, NO_PROMOTION, NO_ROLLBACK, PROMOTE, ROLLBACK

_FLAPPING: Final = tuple((0.4 * number, 0.3 if number % 2 else 0.2) for number in range(40))
_STEEP: Final = ((0.0, 0.013), (0.6, 0.337), (1.5, 0.569))
# Means of 1 over the mix: the SLO level is set on the whole.
_WEB_AND_APP: Final = (Segment("web", 0.7, 0.7, 0.7), Segment("app", 0.3, 0.3, 1.7))
_UNEVEN: Final = (Segment("large", 0.96, 0.96, 1.03), Segment("small", 0.04, 0.04, 0.28))

EXTRA: Final = (
    Kind(
        "nan-dropped", "extra", "losses turn NaN, the client drops them", NO_PROMOTION,
        nan=NanLosses(counted=False, share=0.5, at=(0.17, 0.4)), rate=3.0, split=((0.0, 0.1),), hours=6.0,
    ),
    Kind(
        "in-margin-8", "extra", "8 % worse, margin 10 %: near the boundary", NO_ROLLBACK,
        effect=Effect(1.08), rate=2.0, split=((0.0, 0.5),), hours=12.0,
    ),
    Kind(
        "wander-same", "extra", "no change, but each arm's mean wanders by 3 %", NO_ROLLBACK,
        wander=Wander(0.03, 0.75), rate=2.0, split=((0.0, 0.5),), hours=12.0,
    ),
    Kind(
        "shared-wander-same", "extra", "no change; the world moves both arms by 15 % within half an hour", NO_ROLLBACK,
        wander=Wander(0.15, 0.5, shared=True), rate=4.0, split=((0.0, 0.25),), loss=GAMMA,
    ),
    Kind(
        "shared-wander-worse", "extra", "1.3 x in such a world", NO_PROMOTION,
        wander=Wander(0.15, 0.5, shared=True), rate=4.0, split=((0.0, 0.25),), loss=GAMMA, effect=Effect(1.3),
    ),
    Kind(
        "no-canary-traffic", "extra", "the canary never gets a prediction", HOLD,
        split=((0.0, 0.0),), rate=1.0, hours=3.0, dt=60.0, history=(60, 120),
    ),
    Kind(
        "no-labels-yet", "extra", "labels after 12 h, none of the canary's before the end", HOLD,
        lag=Lag("fixed", 43200.0), rate=0.5, hours=6.0, dt=60.0, history=(120, 120), split=((0.0, 0.5),),
    ),
    Kind(
        "tail-rare", "extra", "1 % of the losses x 30", NO_PROMOTION,
        effect=Effect(rare=(0.01, 30.0)), rate=4.0, split=((0.0, 0.1),), loss=GAMMA,
    ),
    Kind(
        "buckets-low", "extra", "buckets made for losses 300 times smaller, no change", NO_ROLLBACK,
        edge_scale=1.0 / 300.0, rate=2.0, split=((0.0, 0.25),), loss=GAMMA,
    ),
    Kind(
        "buckets-high", "extra", "buckets made for losses 300 times larger, no change", NO_ROLLBACK,
        edge_scale=300.0, rate=2.0, split=((0.0, 0.25),), loss=GAMMA,
    ),
    Kind(
        "buckets-low-large", "extra", "the same buckets, 2 x worse", NO_PROMOTION,
        effect=Effect(2.0), edge_scale=1.0 / 300.0, rate=2.0, split=((0.0, 0.25),), loss=GAMMA,
    ),
    Kind(
        "wild-tail-same", "extra", "Pareto 2.2, no change", NO_ROLLBACK,
        loss=WILD_PARETO, rate=2.0, split=((0.0, 0.25),),
    ),
    Kind(
        "wide-lognormal-better", "extra", "lognormal of sigma 1.6, 30 % better", NO_ROLLBACK,
        loss=WIDE_LOGNORMAL, effect=Effect(0.7), rate=2.0, split=((0.0, 0.5),),
    ),
    Kind(
        "lag-loss-boundary", "extra", "worse by the margin, and the worse the prediction, the later its label", HOLD,
        effect=Effect(1.1), lag=Lag("loss", 1280.0), rate=4.0, split=((0.0, 0.3),), dt=60.0, history=(120, 240),
        hours=16.0,
    ),
    Kind(
        "lag-loss-ramp-boundary", "extra", "the same, while its share goes from 1 to 57 %", HOLD,
        effect=Effect(1.1), lag=Lag("loss", 1280.0), rate=6.0, split=_STEEP, loss=LOGNORMAL, dt=60.0,
        history=(120, 240), hours=16.0,
    ),
    Kind(
        "lag-loss-ramp-worse", "extra", "1.32 x in such a ramp: the young canary looks good after each step", ROLLBACK,
        effect=Effect(1.32), lag=Lag("loss", 1280.0), rate=10.0, split=_STEEP, loss=LOGNORMAL, dt=60.0,
        history=(120, 240), hours=16.0,
    ),
    Kind(
        "flapping-medium", "extra", "1.5 x, its share goes from 20 to 30 % and back every 24 min, labels after 30 min",
        NO_PROMOTION, effect=Effect(1.5), lag=Lag("exponential", 1800.0), split=_FLAPPING, rate=4.0, dt=60.0,
        history=(120, 240), hours=16.0, slo=2.0,
    ),
    Kind(
        "flapping-long-medium", "extra", "the same, labels after 90 min", NO_PROMOTION, effect=Effect(1.5),
        lag=Lag("exponential", 5400.0), split=_FLAPPING, rate=4.0, dt=60.0, history=(120, 240), hours=16.0, slo=2.0,
    ),
    Kind(
        "flapping-boundary", "extra", "worse by the margin, so, and the worse the later are the labels", HOLD,
        effect=Effect(1.1), lag=Lag("loss", 900.0), split=_FLAPPING, rate=4.0, dt=60.0, history=(120, 240), hours=16.0,
        slo=2.0,
    ),
    Kind(
        "late-errors", "extra", "errors are known hours later, and stable loses half of its traffic; no change",
        NO_ROLLBACK, loss=BINARY, typical=0.04, lag=Lag("loss", 1757.0), rate=4.0, split=((0.0, 0.56),), dt=60.0,
        history=(120, 240), hours=10.0, slo=1.6,
    ),
    Kind(
        "sharp-edge-boundary", "extra", "worse by the margin; no loss is below 0.6, in the middle of a bucket", HOLD,
        effect=Effect(1.1), loss=PARETO, edge_scale=1.15, rate=3.0, split=((0.0, 0.4),), dt=60.0, history=(120, 240),
        hours=16.0,
    ),
    Kind(
        "two-humps-boundary", "extra", "worse by the margin; two humps, each narrower than its bucket", HOLD,
        effect=Effect(1.1), loss=BIMODAL, edge_ratio=2.0, edge_scale=1.3, rate=3.0, split=((0.0, 0.4),), dt=60.0,
        history=(120, 240), hours=16.0,
    ),
    Kind(
        "narrow-boundary", "extra", "worse by the margin; losses vary by less than their buckets are wide", HOLD,
        effect=Effect(1.1), loss=NEAR_CONSTANT, edge_scale=1.5, rate=1.5, split=((0.0, 0.4),), dt=60.0,
        history=(120, 240), hours=16.0,
    ),
    Kind(
        "narrow-same", "extra", "such losses, no change", NO_ROLLBACK,
        loss=NEAR_CONSTANT, edge_scale=1.5, rate=1.5, split=((0.0, 0.4),), dt=60.0, history=(120, 240),
    ),
    Kind(
        "narrow-rare", "extra", "such losses, 1.13 x worse by one in ninety that is 12 times as large", NO_PROMOTION,
        effect=Effect(rare=(0.0113, 12.5)), loss=NEAR_CONSTANT, edge_scale=1.5, rate=1.5, split=((0.0, 0.4),), dt=60.0,
        history=(120, 240),
    ),
    Kind(
        "jump-after-hours", "extra", "1.73 x from the third hour on, 5,000 labels an hour, margin 20 %", ROLLBACK,
        effect=Effect(1.73, onset=(2.0, 2.5)), loss=LOGNORMAL, rate=4.0, split=((0.0, 0.3),), segments=_UNEVEN,
        edge_ratio=1.83, edge_scale=2.2, margin=0.2, slo=1.6, history=(240, 240),
    ),
    Kind(
        "rare-huge", "extra", "1.29 x by one in 240 that is 71 times as large; losses vary little", ROLLBACK,
        effect=Effect(rare=(0.0041, 71.0)), loss=LIGHT_PARETO, rate=5.5, split=((0.0, 0.09),), edge_ratio=1.27,
        edge_scale=0.6, slo=1.6, history=(240, 240),
    ),
    Kind(
        "scrapes-late-large", "extra", "1.65 x, labels after 11 min; one scrape in 20 comes late", ROLLBACK,
        effect=Effect(1.65), loss=GAMMA, lag=Lag("exponential", 656.0), rate=14.0, split=((0.0, 0.3),), dt=60.0,
        history=(60, 60), slo=1.6, faults=Faults(repeated=0.05),
    ),
    Kind(
        "rare-errors-new", "extra", "0/1 losses, one in 87, no change, no history", NO_ROLLBACK,
        loss=BINARY, typical=0.0115, rate=1.2, split=((0.0, 0.2),), history=(0, 0), slo=1.6,
    ),
    Kind(
        "rare-errors-new-worse", "extra", "0/1 losses, one in 67, 2.2 x, margin 30 %, no history", ROLLBACK,
        effect=Effect(2.2), loss=BINARY, typical=0.015, rate=0.6, split=((0.0, 0.45),), history=(0, 0), dt=60.0,
        hours=12.0, margin=0.3, slo=1.6,
    ),
    Kind(
        "scrapes-missed", "extra", "no change, late labels are worse; one scrape in 20 missing, one late", PROMOTE,
        lag=Lag("loss", 600.0), rate=10.0, split=((0.0, 0.3),), dt=60.0, history=(60, 60), hours=12.0, slo=1.6,
        faults=Faults(missing=0.05, repeated=0.05),
    ),
    Kind(
        "share-falls", "extra", "no change, late labels are worse; scraped every 2 min, its share falls", PROMOTE,
        lag=Lag("loss", 900.0), rate=8.0, split=((0.0, 0.5), (0.5, 0.05)), dt=120.0, history=(120, 240), hours=12.0,
        slo=1.6,
    ),
    Kind(
        "old-labels-mixed", "extra", "labels of a better time before the rollout are still arriving", NO_ROLLBACK,
        lag=Lag("exponential", 1800.0), rate=2.0, split=((0.0, 0.25),), history=(480, 480),
        incidents=(Passing(at=(-3.0, -2.5), minutes=(150.0, 150.0), factor=(0.6, 0.7)),), slo=1.4,
    ),
    Kind(
        "incident-hidden-mix", "extra", "an incident in a segment that nobody named and the canary gets more of",
        NO_ROLLBACK,
        incidents=(Passing(at=(0.3, 0.8), minutes=(15.0, 40.0), factor=(2.0, 3.0), canary=(1.15, 1.3)),),
        rate=2.0, split=((0.0, 0.25),), named=False, segments=_WEB_AND_APP, lag=Lag("exponential", 120.0),
    ),
)  # fmt: skip
