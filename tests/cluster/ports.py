"""Loopback ports for the servers of the tests, each given to one taker only."""

import contextlib
import fcntl
import os
import random
import socket
from collections.abc import Sequence

from tests.cluster import cache

# Below the ports that systems give to outgoing connections (Linux from 32768, macOS from 49152) and below NodePorts
# (from 30000): a port of theirs may be taken by any connection between the moment we see it free and the listening.
PORTS: Sequence[int] = range(20000, 30000)


def free_port() -> int:
    """A loopback port that nobody uses and that no other process of these tests is given while this one lives.

    Raises OSError when all are taken.
    """
    home = cache.root() / "ports"
    home.mkdir(exist_ok=True)
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        # Never closed: the lock ends with this process, or with the last child that it was handed on to.
        held = os.open(home / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError), socket.socket() as probe:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
        os.close(held)
    raise OSError(f"no free port from {min(PORTS)} to {max(PORTS)}: end some of the servers that listen there")
