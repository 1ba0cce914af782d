"""What is seen in the cluster when a decision is made: plain data, read from the watch cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

# What Kubernetes takes for progressDeadlineSeconds (s).
PROGRESS_DEADLINE: Final = 600.0


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment. ``template`` is its pod template as the API server returned it, never changed in place.

    ``replicas`` is the wish in spec; ``total``, ``updated``, ``ready`` and ``available`` come from status.
    ``deadline_exceeded`` is Progressing=False with reason ProgressDeadlineExceeded; ``progress_deadline`` is the time
    (s) that pods may take. ``unavailable_since`` is since when Available is False. ``failure`` is ReplicaFailure's
    message (quota, admission). ``template_manager`` names who else last set the template.
    """

    name: str
    uid: str
    generation: int
    observed_generation: int
    resource_version: str
    template: Mapping[str, Any]
    replicas: int
    total: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    deadline_exceeded: bool = False
    progress_deadline: float = PROGRESS_DEADLINE
    unavailable_since: datetime | None = None
    failure: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict)
    template_manager: str = ""

    @property
    def serving(self) -> int:
        """Available pods of the current template, at least: any other pod may be an available one."""
        return max(0, self.available - self.surplus)

    @property
    def surplus(self) -> int:
        """Pods of earlier templates that are left."""
        return max(0, self.total - self.updated)

    @property
    def settled(self) -> bool:
        """All wished-for pods run the current template and are available, and no other pods are left."""
        return (
            self.observed_generation >= self.generation
            and self.updated == self.total == self.available == self.replicas
        )


class JobState(StrEnum):
    ACTIVE = "Active"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class RetrainJob:
    """A retrain Job of ours. ``operation`` is the value of its label modelslo.dev/operation."""

    name: str
    operation: str
    state: JobState
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The workloads and Jobs of one ModelSLO. None: there is no such Deployment.

    ``autoscaled`` names the HorizontalPodAutoscaler or ScaledObject found on the canary, empty when there is none.
    ``shared`` names another ModelSLO that drives one of the Deployments and was there first.
    ``approved`` is the version named by the annotation modelslo.dev/approve.
    """

    stable: Workload | None
    canary: Workload | None
    jobs: tuple[RetrainJob, ...] = ()
    autoscaled: str = ""
    shared: str = ""
    approved: str = ""
