"""Batches share what can be shared, and every series goes to its owner and to nobody else."""

from __future__ import annotations

from math import inf

from hypothesis import given, settings
from hypothesis import strategies as st

from modelslo.observe.answer import Series
from modelslo.observe.ask import Ask
from modelslo.observe.batch import Owners, batches, family_of, matchers, unaskable
from modelslo.observe.gather import gather
from modelslo.observe.promql import MOST_NAMES
from tests.unit.observe.asks import ask


def test_a_batch_holds_at_most_200_models_and_one_family() -> None:
    asks = [ask(name=f"m{number}", match=(("model_name", f"m{number}"),)) for number in range(450)]
    asks += [ask(name=f"o{number}", match=(("app", f"o{number}"),)) for number in range(3)]
    asks += [ask(name="far", url="http://q")]
    found = batches(asks, lambda _: None)
    assert sorted(len(batch) for batch in found) == [1, 3, 50, 200, 200]
    assert all(len(batch) <= MOST_NAMES for batch in found)
    assert batches(reversed(asks), lambda _: None) == found


def test_the_namespace_is_always_matched() -> None:
    assert matchers([ask("a", "x", (("model_name", "x"),)), ask("b", "y", (("model_name", "y"),))]) == (
        ("namespace", ("a", "b")),
        ("model_name", ("x", "y")),
    )


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", ""])] * 3), min_size=1, max_size=12))
def test_the_cross_product_belongs_to_nobody(names: list[tuple[str, str, str]]) -> None:
    asks = [
        ask(namespace or "n", f"m{number}", (("app", app), ("tier", tier)))
        for number, (namespace, app, tier) in enumerate(names)
    ]
    owners = Owners(asks)
    for namespace in ("a", "b", "n"):
        for app in ("a", "b", ""):
            for tier in ("a", "b", ""):
                labels = {"namespace": namespace, "app": app, "tier": tier, "pod": "p"}
                labels = {key: value for key, value in labels.items() if value}
                wanted = [one for one in asks if owns(one, namespace, app, tier)]
                assert list(owners.of(labels)) == wanted


def owns(one: Ask, namespace: str, app: str, tier: str) -> bool:
    return one.model.namespace == namespace and one.selector.match == (("app", app), ("tier", tier))


def test_the_rest_names_a_series_whatever_the_order_of_its_labels() -> None:
    owners = Owners([ask()])
    one = {"__name__": "loss_bucket", "le": "1", "namespace": "n", "model_name": "m", "pod": "a", "job": "j"}
    assert owners.rest(one) == owners.rest(dict(reversed(one.items()))) == "job=j\xffpod=a"
    assert owners.rest(one | {"pod": "b"}) != owners.rest(one)


def series(name: str, **labels: str) -> Series:
    return Series({"__name__": name, "namespace": "n", "model_name": "m", "version": "v", **labels}, [1], [2.0])


def test_gather_sorts_parts() -> None:
    mine, twin = ask(segment_label="segment"), ask(name="twin", segment_label="segment")
    found = gather(
        [mine, twin],
        [
            series("loss_count", segment="s"),
            series("loss_sum", segment="s"),
            series("loss_squares_total", segment="s"),
            series("loss_bucket", segment="s", le="1"),
            series("loss_bucket", segment="s", le="+Inf"),
            series("loss_bucket", segment="s", le="odd"),
            series("ml_predictions_total"),
            series("ml_loss_invalid_total", reason="nan", segment="s"),
            series("loss_count", model_name="other"),
        ],
    )
    assert found[mine.model] == found[twin.model]
    ((version, segment, age, parts),) = found[mine.model].histograms.values()
    assert (version, segment, age) == ("v", "s", inf)
    assert None not in (parts.count, parts.total, parts.squares)
    assert [edge for edge, _ in parts.buckets] == [1.0, float("inf")]
    assert sorted(one[:3] for one in found[mine.model].counters.values()) == [
        ("v", "", "predictions"),
        ("v", "s", "invalid"),
    ]


def test_label_delays_are_gathered_by_version_when_they_are_asked_for() -> None:
    mine = ask(segment_label="segment", delays="lag")
    lag = [series("lag_count"), series("lag_sum"), series("lag_bucket", le="60"), series("lag_bucket", le="+Inf")]
    found = gather([mine], [series("loss_count", segment="s"), *lag])[mine.model]
    ((version, segment, age, parts),) = found.delays.values()
    assert (version, segment, age) == ("v", "", inf)
    assert parts.count is not None
    assert [edge for edge, _ in parts.buckets] == [60.0, float("inf")]
    assert len(found.histograms) == 1
    assert {"lag_bucket", "lag_count"} <= set(family_of(mine.selector).metrics)
    # A model without them does not share the query, and gets none
    assert family_of(ask().selector) != family_of(mine.selector)
    assert gather([ask()], lag)[mine.model].delays == {}


def test_losses_are_gathered_by_age_where_a_label_tells_it() -> None:
    # Given losses with a label for their age, one of them without
    mine = ask(segment_label="segment", age_label="age_bucket")
    told = ("60.0", "600", "+Inf", "old", "-5", None)
    losses = [
        one
        for text in told
        for labels in [{"segment": "s"} | ({} if text is None else {"age_bucket": text})]
        for one in (series("loss_count", **labels), series("loss_bucket", le="+Inf", **labels))
    ]
    # When they are gathered
    found = gather([mine], [*losses, series("ml_predictions_total", segment="s")])[mine.model]
    # Then each has its upper edge, and none where the label is no age
    assert [(segment, age) for _, segment, age, _ in found.histograms.values()] == [
        ("s", 60.0),
        ("s", 600.0),
        *[("s", inf)] * 4,
    ]
    assert all(parts.count is not None and len(parts.buckets) == 1 for *_, parts in found.histograms.values())
    # And a model that does not name the label does not share the query, and adds the ages up
    assert family_of(ask(segment_label="segment").selector) != family_of(mine.selector)
    plain = gather([ask(segment_label="segment")], losses)[mine.model]
    assert {age for *_, age, _ in plain.histograms.values()} == {inf}


def test_what_cannot_be_asked() -> None:
    assert unaskable(ask()) is None
    assert "Unicode" in (unaskable(ask(match=(("model_name", "\ud800"),))) or "")
    assert "nothing to read" in (unaskable(ask(since=5, until=5)) or "")
