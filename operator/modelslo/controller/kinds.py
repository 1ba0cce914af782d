"""The kinds of objects that are watched."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from modelslo.act.names import GROUP, LABEL_MODEL, PLURAL, VERSION


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind in the words of the API's paths; ``label`` must be present on an object for it to be watched."""

    group: str
    version: str
    plural: str
    label: str = ""

    def paths(self, namespaces: Collection[str] = ()) -> tuple[str, ...]:
        """Paths of the lists that cover these namespaces; none given means all."""
        root = f"/apis/{self.group}/{self.version}"
        return tuple(f"{root}/namespaces/{one}/{self.plural}" for one in namespaces) or (f"{root}/{self.plural}",)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}"


MODELSLOS: Final = Kind(GROUP, VERSION, PLURAL)
DEPLOYMENTS: Final = Kind("apps", "v1", "deployments")
JOBS: Final = Kind("batch", "v1", "jobs", label=LABEL_MODEL)
# KEDA makes a HorizontalPodAutoscaler for each ScaledObject, so that this kind shows both.
AUTOSCALERS: Final = Kind("autoscaling", "v2", "horizontalpodautoscalers")

KINDS: Final = (MODELSLOS, DEPLOYMENTS, JOBS, AUTOSCALERS)
