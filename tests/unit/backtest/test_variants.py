"""`--what-if`: what it changes, and what it says of what cannot be."""

from __future__ import annotations

import pytest

from modelslo.backtest.variants import AS_IT_IS, VariantError
from tests.unit.backtest.history import RAW, variants


def test_each_is_a_variant_beside_what_is() -> None:
    first, margin, both = variants(
        "spec.rollout.gate.margin=5%", "spec.rollout.gate.falseRollback=1%,spec.rollout.steps=[10%, 50%]"
    )
    assert (first.name, first.parameters.gate.margin) == (AS_IT_IS, 0.1)
    assert (margin.name, margin.parameters.gate.margin) == ("spec.rollout.gate.margin=5%", 0.05)
    assert both.parameters.gate.alpha == 0.01
    assert both.spec.rollout is not None
    assert both.spec.rollout.steps == ["10%", "50%"]
    assert "margin" not in RAW["rollout"]["gate"]


def test_spaces_between_assignments_do_not_matter() -> None:
    _, found = variants(
        " spec.rollout.gate={minSamples: 50}, spec.rollout.gate.margin = 5%,  spec.rollout.steps=[5%, 50%]"
    )
    assert (found.parameters.gate.min_samples, found.parameters.gate.margin) == (50, 0.05)
    assert found.spec.rollout is not None
    assert found.spec.rollout.steps == ["5%", "50%"]


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ("spec.rollout.gate.margin=5%", ()),
        ("spec.rollout.gate.margin=10%", ("spec.rollout.gate.margin",)),
        ("spec.rollout.gate.margin=5%,spec.rollout.steps=[10%, 50%]", ("spec.rollout.steps",)),
        ("spec.mode=DryRun,spec.suspend=true", ("spec.mode", "spec.suspend")),
        ("spec.indicator.prometheus={url: http://other}", ("spec.indicator.prometheus",)),
        ("spec.objective.window=12h", ()),
    ],
)
def test_what_a_backtest_does_not_look_at_is_known(text: str, idle: tuple[str, ...]) -> None:
    _, found = variants(text)
    assert found.idle == idle


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("margin=5%", "'margin=5%' assigns no field of the spec: write such as spec.rollout.gate.margin=5%"),
        ("spec.rollout.gate.margin", "assigns no field of the spec"),
        ("spec..margin=5%", "assigns no field of the spec"),
        ("spec.rollout.gate.margins=5%", r"spec.rollout.gate.margins: .* did you mean margin\?"),
        ("spec.rollout.gate.margin=many", "spec.rollout.gate.margin: 'many' is not a percentage"),
        ("spec.rollout.gate.margin.x=5", "spec.rollout.gate.margin"),
        ("spec.interval.x=5", "spec.interval"),
        ("spec.rollout.steps=[", "is no YAML value"),
        ("spec.indicator.labels.delay=1h", ""),
        ("spec.indicator.loss.metric=other_loss", "spec.indicator says which series are read"),
        (
            "spec.rollout.gate.margin=2026-99-99",
            r"'2026-99-99' of spec.rollout.gate.margin is no YAML value \(.*month mu",
        ),
        ("spec.rollout.gate.minSamples=0x_", "'0x_' of spec.rollout.gate.minSamples is no YAML value"),
        ("spec.rollout.gate.margin=!!int x", "'!!int x' of spec.rollout.gate.margin is no YAML value"),
        ("spec.rollout.gate.margin=" + "[" * 5000, "nested too deeply"),
        (
            "spec.rollout.gate.margin=5%,spec.rollout.gate.margin=6%",
            "comes after spec.rollout.gate.margin and undoes it",
        ),
        ("spec.rollout.gate.margin=5%,spec.rollout.gate={minSamples: 5}", "margin and undoes it: take one out"),
        ("spec.interval=2m", "the grid on which all is read"),
        ("spec.objective.slice=10m", "the grid on which all is read"),
    ],
)
def test_what_cannot_be(text: str, message: str) -> None:
    if not message:
        assert len(variants(text)) == 2
        return
    with pytest.raises(VariantError, match=message):
        variants(text)
