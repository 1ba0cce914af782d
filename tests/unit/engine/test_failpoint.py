from __future__ import annotations

from modelslo.engine.failpoint import Failpoint, When


def test_a_failpoint_kills_at_its_point_and_once() -> None:
    kills: list[None] = []
    failpoint = Failpoint("Promote/CopyTemplate/after", lambda: kills.append(None))
    failpoint.reach("Promote", "CopyTemplate", When.BEFORE)
    failpoint.reach("Rollback", "CopyTemplate", When.AFTER)
    assert kills == []
    for _ in range(3):
        failpoint.reach("Promote", "CopyTemplate", When.AFTER)
    assert len(kills) == 1


def test_an_unset_failpoint_never_kills() -> None:
    kills: list[None] = []
    Failpoint("", lambda: kills.append(None)).reach("", "", When.BEFORE)
    assert kills == []
