"""A cache of slow artefacts outside the repository, keyed by the content of what they are made from.

`artefact("kube", inputs, build)` gives the folder `<cache>/<name>/<key>`; where it is not there, `build` fills a
temporary folder, which is then renamed, so a folder that exists is whole. Two processes that want the same
thing wait for one build (a lock per name). A folder not asked for in a month is removed when its name is built anew.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.progress import say, step

REPO = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
_STALE_SECONDS = 30 * 86400


def root() -> Path:
    """The cache folder: $MODELSLO_CACHE, else ~/.cache/modelslo."""
    path = Path(os.environ.get("MODELSLO_CACHE") or "~/.cache/modelslo").expanduser().absolute()
    path.mkdir(parents=True, exist_ok=True)
    return path


def files_under(path: Path) -> list[Path]:
    """Every file of a tree in a fixed order, without what Python and editors leave behind; a file is its own tree."""
    if path.is_file() or path.is_symlink():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(path)
    skip = {"__pycache__", ".git", ".venv"}
    found = (p for p in path.rglob("*") if p.is_file() or p.is_symlink())
    return sorted(
        p
        for p in found
        if not (skip & set(p.parts) or p.suffix == ".pyc" or any(x.endswith(".egg-info") for x in p.parts))
    )


def digest(inputs: Iterable[str | Path]) -> str:
    """A short hash of strings as they are and of files by name, mode and content (folders with all below them)."""
    total = hashlib.sha256()

    def add(*parts: bytes) -> None:
        for part in parts:
            total.update(len(part).to_bytes(8, "big") + part)

    for item in inputs:
        if isinstance(item, str):
            add(b"text", item.encode())
            continue
        for file in files_under(item):
            executable = b"x" if os.access(file, os.X_OK) else b"-"
            content = os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
            add(b"file", str(file.relative_to(item.parent)).encode(), executable, content)
    return total.hexdigest()[:16]


@contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold the lock `name` against other processes and threads; says so when it has to wait."""
    folder = root() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / f"{name.replace('/', '_')}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that is busy with {name}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def place(name: str, inputs: Iterable[str | Path]) -> Path:
    """Where the artefact is, once it is built."""
    return root() / name / digest(inputs)


def artefact(name: str, inputs: Iterable[str | Path], build: Callable[[Path], None], expect: str = "") -> Path:
    """The folder of the artefact `name` made from `inputs`, built by `build(folder)` when it is not there yet."""
    path = place(name, inputs)
    if not path.exists():
        # Its own kind of name: who holds the lock of a thing may well need the artefact of that name.
        with lock(f"artefact-{name}"):
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _build(name, path, build, expect)
    os.utime(path)
    return path


def _build(name: str, path: Path, build: Callable[[Path], None], expect: str) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=path.parent))
    temporary.chmod(0o755)
    try:
        with step(f"building {name}", expect):
            build(temporary)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in path.parent.iterdir():  # the lock of this name is held: whatever is half built is abandoned
        abandoned = old.name.startswith(".new-")
        if old != path and old.is_dir() and (abandoned or time.time() - old.stat().st_mtime > _STALE_SECONDS):
            shutil.rmtree(old, ignore_errors=True)
