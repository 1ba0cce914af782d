"""Running other programs: quietly when they succeed, with the end of what they printed when they fail."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class ClusterError(RuntimeError):
    """A cluster or one of its parts cannot be had; the message says why and what to do."""


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Run a command, return its standard output; raise ClusterError with its last lines when it fails."""
    words = [str(word) for word in command]
    # No copy where none is needed: in a thread it fails while another one changes os.environ, as pytest does.
    environment = {**os.environ, **env} if env else None
    try:
        done = subprocess.run(
            words, cwd=cwd, env=environment, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(f"{' '.join(words)}: no end after {timeout:.0f} s") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-25:]
        raise ClusterError(f"{' '.join(words[:12])} ended with {done.returncode}:\n" + "\n".join(said))
    return done.stdout


def succeeds(command: Sequence[str | Path], timeout: float = 30) -> bool:
    """Whether a command is there and succeeds within the time."""
    try:
        run(command, timeout=timeout)
    except ClusterError:
        return False
    return True


def need(program: str, why: str) -> str:
    """The path of a program, or a ClusterError that says what it is needed for."""
    path = shutil.which(program)
    if path is None:
        raise ClusterError(f"{program} is needed {why}: please install it")
    return path


def is_root() -> bool:
    """Whether this process may do what only root may."""
    return os.geteuid() == 0
