"""What was compared, in a sentence for a person: the message of most decisions on a canary."""

from __future__ import annotations

from math import log
from typing import Final

from modelslo.judge.comparison import Compared
from modelslo.judge.evalues import e_value
from modelslo.judge.parameters import GateParameters
from modelslo.judge.scale import Data

_WITHOUT_BUCKETS: Final = (
    "judged without buckets: there are none that fit the loss (`modelslo doctor` says which would)"
)
_YOUNG: Final = "only quick labels can be compared yet, which speak against a canary and not for it"


def comparison(gate: GateParameters, found: Compared) -> str:
    """Ratio, labels and evidence so far, and what else a reader must know of them."""
    if not found.blocks:
        return "Nothing was compared so far."
    message = (
        f"{_ratio(gate, found)}, {found.canary:.0f} and {found.stable:.0f} labels, e-value for worse "
        f"{e_value(found.log_e_rollback):.3g} of {1 / gate.alpha:g}, for not worse "
        f"{e_value(found.log_e_promote):.3g} of {1 / gate.beta:g}"
    )
    tail = found.log_e_tail
    notes = [f"worse in {', '.join(found.guilty)}"] if found.guilty else []
    if tail is not None and tail >= log(1 / gate.alpha):
        notes.append("very large losses are more frequent")
    if found.data is not None and found.data is not Data.HISTOGRAM:
        notes.append(_WITHOUT_BUCKETS)
    if found.young:
        notes.append(_YOUNG)
    return "; ".join([message, *notes]) + "."


def _ratio(gate: GateParameters, found: Compared) -> str:
    if found.ratio is None or found.low is None or found.high is None:
        return "Stable's mean loss is 0 or not known, so that there is no ratio"
    return (
        f"Mean loss is {found.ratio:.3f} times stable's ({found.low:.3f} to {found.high:.3f}; "
        f"{gate.tolerated_ratio:g} is tolerated)"
    )
