"""The stable version: without drift, where nothing may be done, and with drift, where a retrain is due."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tests.simulate.kind import Clusters, Drift, Faults, Gap, Kind, Passing, Reset
from tests.simulate.lag import Lag
from tests.simulate.losses import GAMMA, LOGNORMAL, PARETO
from tests.simulate.words import HOLD, RETRAIN

_BASE: Final = Kind("stable", "stable", "", HOLD, dt=60.0, history=(240, 360), rate=0.5, has_canary=False)
_DAY: Final = (1440, 1800)

SOUND: Final = (
    replace(_BASE, name="stable-healthy", about="mean at 80 % of the SLO level"),
    replace(
        _BASE, name="stable-season", about="a daily wave whose peaks pass the SLO level, two days of history",
        history=(2880, 2880), season=0.3, day=0.5, slo=1.2,
    ),
    replace(
        _BASE, name="stable-incident", about="one incident of 20 to 50 min, x 2 to 4",
        incidents=(Passing(at=(1.0, 20.0), minutes=(20.0, 50.0), factor=(2.0, 4.0)),),
    ),
    replace(
        _BASE, name="stable-incidents", about="four incidents a day of 10 to 40 min, x 1.5 to 3",
        incidents=tuple(
            Passing(at=(at, at + 3.0), minutes=(10.0, 40.0), factor=(1.5, 3.0)) for at in (1.0, 6.5, 12.0, 17.5)
        ),
    ),
    replace(
        _BASE, name="stable-no-labels", about="no labels for 6 h, then all at once", dt=120.0,
        lag=Lag("batch", 21600.0),
    ),
    replace(_BASE, name="stable-few-labels", about="20 labels/h", dt=120.0, rate=0.0055, hours=36.0),
    replace(_BASE, name="stable-at-slo", about="exactly at the SLO level", slo=1.0),
    replace(_BASE, name="stable-heavy-tail", about="Pareto 2.5 at 90 % of the SLO level", loss=PARETO, slo=1.1),
    replace(
        _BASE, name="stable-clustered", about="5 labels a cluster, lag 30 min", lag=Lag("fixed", 1800.0),
        clusters=Clusters(size=5.0, spread=300.0, variance=0.5), slo=1.15,
    ),
    replace(
        _BASE, name="stable-faults", about="restarts whole and partial, gaps, repeated scrapes",
        faults=Faults(
            pods=3,
            resets=tuple(Reset("stable", (at, at + 4.0), partly=bool(at % 10)) for at in (-3.0, 1.0, 5.0, 10.0, 15.0)),
            gaps=(Gap(("stable",), (2.0, 10.0), (10.0, 90.0)), Gap(("stable",), (11.0, 20.0), (5.0, 30.0))),
            missing=0.02, repeated=0.03,
        ),
    ),
)  # fmt: skip

DRIFTING: Final = (
    replace(_BASE, name="drift-sudden", about="to 1.4 x the SLO level at once", right=RETRAIN, drift=Drift(1.75)),
    replace(
        _BASE, name="drift-slow", about="to 1.4 x the SLO level over 12 h", right=RETRAIN,
        drift=Drift(1.75, ramp=12.0), loss=GAMMA,
    ),
    replace(
        _BASE, name="drift-few-labels", about="to 1.6 x the SLO level with 30 labels/h", right=RETRAIN,
        drift=Drift(2.0), dt=120.0, rate=0.0083, hours=40.0,
    ),
    replace(
        _BASE, name="drift-season", about="to 1.3 x the SLO level under a daily wave", right=RETRAIN,
        drift=Drift(1.6), history=_DAY, season=0.25, day=0.5,
    ),
    replace(
        _BASE, name="drift-heavy-tail", about="to 1.4 x the SLO level, Pareto 2.5", right=RETRAIN,
        drift=Drift(1.75), loss=PARETO,
    ),
    replace(
        _BASE, name="drift-shared", about="both arms drift to 1.4 x the SLO level while a sound canary runs",
        right=RETRAIN, drift=Drift(1.75, onset=(0.3, 1.5)), has_canary=True, rate=1.0, split=((0.0, 0.25),),
        loss=LOGNORMAL,
    ),
)  # fmt: skip

STABLE: Final = (*SOUND, *DRIFTING)
