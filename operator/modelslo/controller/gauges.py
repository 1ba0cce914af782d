"""What the shell tells Prometheus beside the engine's metrics. Read when asked, so that nothing is kept up to date."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from typing import Final, Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from modelslo.api.status import Condition, ConditionType
from modelslo.engine.views import Model

# The status that a condition has while somebody should look.
_ABNORMAL: Final = {
    ConditionType.STALLED: "True",
    ConditionType.APPROVAL_REQUIRED: "True",
    ConditionType.DATA_SUFFICIENT: "False",
    ConditionType.SLO_MET: "False",
}


class Shell(Protocol):
    """What is asked when Prometheus asks."""

    def leading(self) -> bool: ...

    def list_age(self) -> float: ...

    def missed(self) -> int: ...

    def overdue(self) -> float: ...


class ShellMetrics(Collector):
    """Models are shown by the leader alone, so that two operators do not tell the same story twice."""

    def __init__(self, shell: Shell, models: Iterable[Model]) -> None:
        self._shell, self._models = shell, models

    def collect(self) -> Iterator[Metric]:
        shell, leading = self._shell, self._shell.leading()
        yield InfoMetricFamily("modelslo_build", "The running operator.", value={"version": version("modelslo")})
        yield GaugeMetricFamily("modelslo_leading", "1 while this operator holds the Lease.", value=float(leading))
        age = shell.list_age()
        if math.isfinite(age):
            yield GaugeMetricFamily("modelslo_list_age_seconds", "Since the last complete list of all.", value=age)
        yield CounterMetricFamily(
            "modelslo_watch_missed", "Changes that a list found and the watch had missed.", value=float(shell.missed())
        )
        if leading:
            yield GaugeMetricFamily(
                "modelslo_evaluation_overdue_intervals",
                "By how many of its intervals the most overdue evaluation is late.",
                value=shell.overdue(),
            )
            yield from self._of_models()

    def _of_models(self) -> Iterator[Metric]:
        abnormal = GaugeMetricFamily(
            "modelslo_condition_abnormal",
            "1 for each condition that wants a person; absent otherwise.",
            labels=["slo_namespace", "slo", "type", "reason"],
        )
        burning = GaugeMetricFamily(
            "modelslo_burning",
            "1 for each burn-rate rule that burns; absent otherwise.",
            labels=["slo_namespace", "slo", "severity"],
        )
        for model in self._models:
            whose = [model.key.namespace, model.key.name]
            for condition in filter(_wants_a_person, model.status.conditions):
                abnormal.add_metric([*whose, condition.type, condition.reason], 1.0)
            for severity in sorted({burn.severity.lower() for burn in model.status.burn_rates if burn.burning}):
                burning.add_metric([*whose, severity], 1.0)
        yield abnormal
        yield burning


def _wants_a_person(condition: Condition) -> bool:
    return any(condition.type == kind and condition.status == status for kind, status in _ABNORMAL.items())
