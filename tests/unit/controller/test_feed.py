"""The feed keeps the registry true to the cluster, whichever of watch and list tells the story."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelslo.controller.feed import Body, Feed, Mended
from modelslo.controller.kinds import AUTOSCALERS, DEPLOYMENTS, JOBS, KINDS, MODELSLOS, Kind


class Sink:
    """Remembers what a registry would hold, and every call."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str, str], str] = {}
        self.calls: list[tuple[str, str]] = []

    def _put(self, what: str, body: Body) -> None:
        metadata = body["metadata"]
        self.held[what, metadata["namespace"], metadata["name"]] = metadata["resourceVersion"]
        self.calls.append(("put", what))

    def _drop(self, what: str, namespace: str, name: str) -> None:
        self.held.pop((what, namespace, name), None)
        self.calls.append(("drop", what))

    def put_model(self, body: Body) -> None:
        self._put("model", body)

    def drop_model(self, namespace: str, name: str) -> None:
        self._drop("model", namespace, name)

    def put_deployment(self, body: Body) -> None:
        self._put("deployment", body)

    def drop_deployment(self, namespace: str, name: str) -> None:
        self._drop("deployment", namespace, name)

    def put_job(self, body: Body) -> None:
        self._put("job", body)

    def drop_job(self, namespace: str, name: str) -> None:
        self._drop("job", namespace, name)

    def put_autoscaler(self, kind: str, body: Body) -> None:
        self._put(kind, body)

    def drop_autoscaler(self, kind: str, namespace: str, name: str) -> None:
        self._drop(kind, namespace, name)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def feed(sink: Sink) -> Feed:
    return Feed(sink, Clock())


def body(name: str, version: int = 1) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, "resourceVersion": str(version)}}


@pytest.mark.parametrize(
    ("kind", "what"),
    [(MODELSLOS, "model"), (DEPLOYMENTS, "deployment"), (JOBS, "job"), (AUTOSCALERS, "HorizontalPodAutoscaler")],
    ids=str,
)
def test_each_kind_goes_where_it_belongs(feed: Feed, sink: Sink, kind: Kind, what: str) -> None:
    feed.event(kind, False, body("a"))
    assert sink.held == {(what, "shop", "a"): "1"}
    feed.event(kind, True, body("a", 2))
    assert sink.held == {}
    assert sink.calls == [("put", what), ("drop", what)]


def test_an_event_without_news_is_not_passed_on(feed: Feed, sink: Sink) -> None:
    feed.event(MODELSLOS, False, body("a"))
    feed.event(MODELSLOS, False, body("a"))
    assert sink.calls == [("put", "model")]


def test_an_object_that_comes_back_is_passed_on(feed: Feed, sink: Sink) -> None:
    feed.event(MODELSLOS, False, body("a"))
    feed.event(MODELSLOS, True, body("a"))
    feed.event(MODELSLOS, False, body("a"))
    assert sink.held == {("model", "shop", "a"): "1"}


def test_a_list_drops_what_vanished_unseen(feed: Feed, sink: Sink) -> None:
    feed.event(MODELSLOS, False, body("kept"))
    feed.event(MODELSLOS, False, body("vanished"))
    listing = feed.listing(MODELSLOS)
    listing.page([body("kept")])
    assert listing.finish() == Mended(dropped=1)
    assert sink.held == {("model", "shop", "kept"): "1"}
    assert feed.count(MODELSLOS) == 1


def test_a_list_adds_and_changes_what_the_watch_missed(feed: Feed, sink: Sink) -> None:
    feed.event(MODELSLOS, False, body("old", 1))
    listing = feed.listing(MODELSLOS)
    listing.page([body("old", 2)])
    listing.page([body("new", 3)])
    assert listing.finish() == Mended(added=1, changed=1)
    assert sink.held == {("model", "shop", "old"): "2", ("model", "shop", "new"): "3"}


def test_a_list_that_agrees_says_nothing(feed: Feed, sink: Sink) -> None:
    feed.event(MODELSLOS, False, body("a"))
    listing = feed.listing(MODELSLOS)
    listing.page([body("a")])
    assert not listing.finish()
    assert sink.calls == [("put", "model")]


def test_an_object_deleted_while_the_list_is_read_stays_away(feed: Feed, sink: Sink) -> None:
    feed.event(MODELSLOS, False, body("a"))
    listing = feed.listing(MODELSLOS)
    feed.event(MODELSLOS, True, body("a", 2))
    listing.page([body("a", 1)])
    assert not listing.finish()
    assert sink.held == {}


def test_an_object_made_while_the_list_is_read_stays(feed: Feed, sink: Sink) -> None:
    listing = feed.listing(MODELSLOS)
    feed.event(MODELSLOS, False, body("young", 9))
    listing.page([])
    assert not listing.finish()
    assert sink.held == {("model", "shop", "young"): "9"}


def test_a_list_that_breaks_off_drops_nothing(feed: Feed, sink: Sink) -> None:
    feed.event(MODELSLOS, False, body("a"))
    feed.listing(MODELSLOS).page([])
    assert sink.held == {("model", "shop", "a"): "1"}


def test_kinds_do_not_mix(feed: Feed, sink: Sink) -> None:
    feed.event(DEPLOYMENTS, False, body("a"))
    listing = feed.listing(MODELSLOS)
    assert not listing.finish()
    assert sink.held == {("deployment", "shop", "a"): "1"}


def test_all_watched_kinds_have_paths() -> None:
    assert [path for kind in KINDS for path in kind.paths()] == [
        "/apis/modelslo.dev/v1alpha1/modelslos",
        "/apis/apps/v1/deployments",
        "/apis/batch/v1/jobs",
        "/apis/autoscaling/v2/horizontalpodautoscalers",
    ]


def test_chosen_namespaces_are_listed_one_by_one() -> None:
    assert DEPLOYMENTS.paths(["a", "b"]) == (
        "/apis/apps/v1/namespaces/a/deployments",
        "/apis/apps/v1/namespaces/b/deployments",
    )


@given(
    cluster=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9)),
    believed=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9)),
)
def test_after_a_list_the_registry_is_the_cluster(cluster: dict[str, int], believed: dict[str, int]) -> None:
    sink = Sink()
    feed = Feed(sink, Clock())
    for name, version in believed.items():
        feed.event(MODELSLOS, False, body(name, version))
    listing = feed.listing(MODELSLOS)
    listing.page([body(name, version) for name, version in cluster.items()])
    listing.finish()
    assert {name: version for (_, _, name), version in sink.held.items()} == {n: str(v) for n, v in cluster.items()}
    assert feed.count(MODELSLOS) == len(cluster)
