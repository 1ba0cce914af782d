"""Addresses of servers: whether one is any, how it is shown, and why nobody answers there."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import urlsplit

_PIECE: Final = 3
# Up to the last @: a password may hold one.
_USER: Final = re.compile(r"^(\w*://)?\S*@")


def shown(url: str) -> str:
    """Without user and password."""
    return _USER.sub(r"\1***@", url)


def hiding(message: str, url: str) -> str:
    """The `message` without the user and the password of `url`, also in pieces."""
    shorter = message.replace(url, shown(url))
    user = url.partition("://")[2].rpartition("@")[0]
    if any(part in shorter for part in re.split(r"[:/@\s]", user) if len(part) >= _PIECE):
        return "the address cannot be used"
    return shorter


def fault_of(url: str) -> str:
    """Why it is no address of an HTTP server; empty when it is one."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is read when it is asked for
    except ValueError as error:
        return f"is no URL ({error})"
    if parts.scheme not in ("http", "https"):
        return "does not begin with http:// or https://"
    if not host or re.search(r"\s", url):
        return "has a blank" if host else "names no host"
    return ""


def cause_of(error: BaseException) -> str:
    """The innermost reason: requests and urllib3 wrap why a server does not answer thrice."""
    reason: Any = error
    while True:
        inner = getattr(reason, "reason", None) or (reason.args[0] if getattr(reason, "args", ()) else None)
        if not isinstance(inner, BaseException):
            break
        reason = inner
    # What the system said, without the names of classes that urllib3 puts around it.
    system = reason.__cause__ if isinstance(reason.__cause__, OSError) else reason
    said = system.strerror if isinstance(system, OSError) else None
    return said or f"{type(reason).__name__}: {reason}"
