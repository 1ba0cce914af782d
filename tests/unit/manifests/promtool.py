"""Prometheus' own checker of rules and configurations."""

from __future__ import annotations

import shutil

import pytest

from tests.cluster import debian
from tests.cluster.shell import ClusterError


def promtool() -> str:
    """The one on PATH, else Debian's. Skips the test where there is neither."""
    if there := shutil.which("promtool"):
        return there
    try:
        return str(debian.unpacked("prometheus") / "usr" / "bin" / "promtool")
    except (ClusterError, OSError) as error:
        pytest.skip(f"promtool is not there: {error}")
