"""Why a query gave nothing that could be used. Each is a Gap in the evidence, never a number."""

from __future__ import annotations

from typing import ClassVar

from modelslo.observe.evidence import Gap, NoEvidence


class QueryFailure(Exception):  # noqa: N818  # a warning is one, too
    """``culprit`` says that one of the models in the query may be the cause, so that a smaller query may succeed."""

    reason: ClassVar[NoEvidence] = NoEvidence.QUERY_ERROR

    def __init__(self, message: str, *, culprit: bool = False) -> None:
        super().__init__(message)
        self.culprit = culprit

    @property
    def gap(self) -> Gap:
        return Gap(self.reason, str(self))


class QueryError(QueryFailure):
    """HTTP or connection error, malformed or too large answer. ``unreachable``: nothing else there will answer."""

    def __init__(self, message: str, *, culprit: bool = False, unreachable: bool = False) -> None:
        super().__init__(message, culprit=culprit)
        self.unreachable = unreachable


class QueryTimeout(QueryFailure):
    """No whole answer in time."""

    reason = NoEvidence.QUERY_TIMEOUT


class QueryWarning(QueryFailure):
    """An answer that Prometheus itself calls incomplete."""

    reason = NoEvidence.QUERY_WARNING

    def __init__(self, message: str) -> None:
        super().__init__(message, culprit=True)
