from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import ports

TAKER = """
import sys
from tests.cluster import ports
ports.PORTS = [int(word) for word in sys.argv[1:]]
try:
    print(ports.free_port())
except OSError as error:
    print(error)
"""


def taken_by_another_process(among: list[int]) -> str:
    words = [sys.executable, "-c", TAKER, *map(str, among)]
    return subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]).stdout


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """Three ports that are ours, in a world that knows no others and does not know yet that they are taken."""
    three = [ports.free_port() for _ in range(3)]
    monkeypatch.setenv("MODELSLO_CACHE", str(tmp_path))
    monkeypatch.setattr(ports, "PORTS", three)
    return three


def test_a_port_is_given_once_although_nobody_listens_yet(few: list[int]) -> None:
    # Given two of three ports, taken by this process and not yet used
    mine = {ports.free_port(), ports.free_port()}

    # Then another process gets the third
    other = taken_by_another_process(few)
    assert {int(other)} == set(few) - mine
    # And the third is free again once that process is gone, but then none is left
    assert ports.free_port() == int(other)
    assert "no free port" in taken_by_another_process(few)
    with pytest.raises(OSError, match="no free port from"):
        ports.free_port()


def test_a_port_with_a_listener_is_passed_over(few: list[int]) -> None:
    with socket.create_server(("127.0.0.1", few[0])):
        assert {ports.free_port(), ports.free_port()} == set(few[1:])


def test_no_outgoing_connection_can_take_one() -> None:
    ephemeral = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(ephemeral.read_text().split()[0]) if ephemeral.exists() else 49152
    assert max(ports.PORTS) < first
