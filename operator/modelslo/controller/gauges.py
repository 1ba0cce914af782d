"""What the shell itself tells Prometheus, beside the engine's metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector


class ShellMetrics(Collector):
    """Read when asked, so that nothing has to be kept up to date."""

    def __init__(
        self,
        leading: Callable[[], bool],
        list_age: Callable[[], float],
        mended: Callable[[], int],
    ) -> None:
        self._leading, self._list_age, self._mended = leading, list_age, mended

    def register(self, registry: CollectorRegistry) -> None:
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("modelslo_build", "The running operator.", value={"version": version("modelslo")})
        yield GaugeMetricFamily(
            "modelslo_leading", "1 while this operator holds the Lease and acts.", value=float(self._leading())
        )
        age = self._list_age()
        if age != float("inf"):
            yield GaugeMetricFamily(
                "modelslo_list_age_seconds", "Since the last complete list of all that is watched.", value=age
            )
        yield CounterMetricFamily(
            "modelslo_watch_missed", "Changes that a list found and the watch had missed.", value=float(self._mended())
        )
