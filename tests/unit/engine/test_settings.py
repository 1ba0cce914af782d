from __future__ import annotations

from pathlib import Path

import pytest

from modelslo.engine.settings import Settings, load_settings


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("prometheusUrl: http://file:9090\nsettle: 30\nserviceAccounts: [a, b]\n")
    settings = load_settings({"MODELSLO_CONFIG": str(file), "MODELSLO_SETTLE": "5", "MODELSLO_NAMESPACES": "x, y"})
    assert settings.prometheus_url == "http://file:9090"
    assert settings.settle == 5
    assert settings.service_accounts == ("a", "b")
    assert settings.namespaces == ("x", "y")


@pytest.mark.parametrize(
    ("text", "word"),
    [("- a\n", "mapping"), ("timeScales: 3\n", "timeScales"), ("timeScale: 0\n", "timeScale"), ("port: x\n", "port")],
)
def test_settings_that_are_wrong_are_refused_by_name(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=word):
        load_settings({"MODELSLO_CONFIG": str(file)})


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://prometheus:9090", True),
        ("http://prometheus:9090/", True),
        ("http://thanos:10902/team-a", True),
        ("http://thanos:10902/team-a/sub", True),
        ("http://thanos:10902/team-a2", False),
        ("http://thanos:10902/", False),
        ("http://thanos:10902/team-a/../team-b", False),
        ("https://prometheus:9090", False),
        ("http://prometheus:9091", False),
        ("http://prometheus:9090.evil.example", False),
        ("http://prometheus:9090@evil.example", False),
        ("http://user@prometheus:9090", False),
    ],
)
def test_only_prometheus_urls_on_the_list_are_allowed(url: str, allowed: bool) -> None:
    settings = Settings(
        prometheus_url="http://prometheus:9090", allowed_prometheus_urls=("http://thanos:10902/team-a",)
    )
    assert settings.allows(url) is allowed
