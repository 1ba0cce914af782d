"""Addresses of servers."""

from __future__ import annotations

import pytest
import requests

from modelslo.api.address import cause_of, fault_of, hiding, shown


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://prometheus:9090", ""),
        ("https://[::1]:9090/prefix", ""),
        ("http://me:secret@prometheus", ""),
        ("", "does not begin with http:// or https://"),
        ("prometheus:9090", "does not begin with"),
        ("ftp://prometheus", "does not begin with"),
        ("http://[::1", "is no URL (Invalid IPv6 URL)"),
        ("http://a:99999", "is no URL (Port out of range"),
        ("http://a:b", "is no URL (Port could not be cast"),
        ("http://:80", "names no host"),
        ("http://a b", "has a blank"),
    ],
)
def test_what_is_no_address(url: str, fault: str) -> None:
    assert fault_of(url).startswith(fault)
    assert bool(fault_of(url)) == bool(fault)


@pytest.mark.parametrize("user", ["me:secret", "token", "me:p@ss", "me:p/w", "me:p:w"])
def test_no_password_is_shown(user: str) -> None:
    assert shown(f"http://{user}@prometheus:9090/x") == "http://***@prometheus:9090/x"
    assert shown(f"{user}@prometheus") == "***@prometheus"
    assert shown("http://prometheus:9090/x") == "http://prometheus:9090/x"


def test_the_cause_is_in_the_words_of_the_system() -> None:
    with pytest.raises(requests.ConnectionError) as failed:
        requests.get("http://127.0.0.1:1", timeout=5)
    assert cause_of(failed.value) == "Connection refused"
    assert cause_of(ValueError("odd")) == "ValueError: odd"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://user:hunter2@host:99999", "Failed to parse: http://user:hunter2@host:99999/api/v1/query_range"),
        ("http://user:hunter2@:9", "Invalid URL 'http://user:hunter2@:9/x': No host supplied"),
        ("http://user:hun/ter2@h", "'user:hun' is not a valid host"),
    ],
)
def test_no_password_is_in_a_message_about_an_address(url: str, message: str) -> None:
    found = hiding(message, url)
    assert "hun" not in found
    assert found
    assert hiding("Connection refused", url) == "Connection refused"
