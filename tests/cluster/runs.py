"""Run folders: one for each thing that runs, held by a lock that dies with it, so that the dead ones can be cleared."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from tests.cluster import cache


def new(name: str) -> tuple[Path, int]:
    """A new folder, and the file descriptor that holds its lock: whoever keeps a copy open keeps the folder."""
    home = cache.root() / "run"
    home.mkdir(exist_ok=True)
    with cache.lock("run"):
        clear(home)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=home))
        held = os.open(folder / "held", os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
    return folder, held


def clear(home: Path) -> None:
    """Remove the folders whose owner is gone."""
    for folder in home.iterdir():
        if not is_held(folder):
            shutil.rmtree(folder, ignore_errors=True)


def is_held(folder: Path) -> bool:
    """Whether the thing that runs in this folder, or a process that it left behind, is still there."""
    try:
        with (folder / "held").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False
