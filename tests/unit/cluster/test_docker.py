"""Our own Docker daemon outlives the process that starts it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from tests.cluster import docker


def test_a_daemon_that_goes_on_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Popen that is collected while its process runs is a ResourceWarning, which fails some test or other."""
    program = tmp_path / "dockerd"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(docker, "_home", lambda: tmp_path)
    monkeypatch.setattr(docker, "_has_capability", lambda number: True)
    monkeypatch.setattr(docker, "answers", lambda: True)
    started = list(docker._OUTLIVING)
    docker._start()
    gc.collect()
    daemon = next(one for one in docker._OUTLIVING if one not in started)
    assert daemon.poll() is None
    daemon.kill()
    daemon.wait()
    docker._OUTLIVING.remove(daemon)
