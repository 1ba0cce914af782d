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
    [
        ("- a\n", r"\['a'\] is no mapping of settings: write such as settle: 30"),
        ("prometheusUrl: [unclosed\n", "settings.yaml is no YAML"),
        ("timeScales: 3\n", r"timeScales: 3 is in a setting that there is not: did you mean timeScale\?"),
        ("timeScale: 0\n", "timeScale: 0 does not fit: it must be greater than 0"),
        ("port: x\n", "port: 'x' does not fit: it must be a valid integer"),
        ("namespaces: 5\n", "namespaces: 5 does not fit"),
        ("prometheusUrl: prometheus:9090\n", "prometheusUrl: 'prometheus:9090' is no URL: write such as http://"),
        ("allowedPrometheusUrls: [thanos]\n", r"allowedPrometheusUrls\[0\]: 'thanos' is no URL: write such as http://"),
    ],
)
def test_settings_that_are_wrong_are_refused_by_name_value_and_mend(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=word) as raised:
        load_settings({"MODELSLO_CONFIG": str(file)})
    assert "pydantic" not in str(raised.value)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("settel: 5\nport: x\n")
    with pytest.raises(ValueError, match="did you mean settle") as raised:
        load_settings({"MODELSLO_CONFIG": str(file), "MODELSLO_TIMESCALE": "5"})
    assert "port: 'x'" in str(raised.value)
    assert "MODELSLO_TIMESCALE: '5' is in a variable that there is not: did you mean MODELSLO_TIME_SCALE?" in str(
        raised.value
    )


def test_variables_of_others_are_none_of_its_business() -> None:
    load_settings({"MODELSLO_CACHE": "x", "MODELSLO_OPERATION_ID": "y", "MODELSLO_MODEL": "z", "TIMESCALE": "3"})


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
