"""The watch's thread: what kopf is told, what reaches the feed, and what happens when kopf ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import kopf
import pytest
import yaml

from modelslo.controller import watch
from modelslo.controller.feed import Feed
from modelslo.controller.kinds import JOBS, KINDS, Kind
from modelslo.controller.watch import Watch, login, settings
from tests.unit.controller.test_feed import Clock, Sink, body


def run_with(operator: Callable[..., Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> Watch:
    """A watch whose kopf is `operator`, until it has ended."""
    monkeypatch.setattr(kopf, "operator", operator)

    async def story() -> Watch:
        sight = Watch(Feed(Sink(), Clock()))
        sight.start()
        await asyncio.wait_for(sight.ended.wait(), 10)
        await sight.stop(10)
        return sight

    return asyncio.run(story())


def test_an_end_that_nobody_asked_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(ready_flag: threading.Event, **_: Any) -> None:
        ready_flag.set()

    sight = run_with(ends, monkeypatch)
    assert sight.failure is None
    assert not sight.running


def test_an_error_is_kept_and_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async def fails(**_: Any) -> None:
        raise RuntimeError("a watcher died")

    assert str(run_with(fails, monkeypatch).failure) == "a watcher died"
    assert "The watch ended with an error" in caplog.text


def test_kopfs_own_wait_for_the_flag_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """kopf waits for the stop flag in a thread; an event loop ends only after its threads."""

    async def fails(stop_flag: threading.Event, **_: Any) -> None:
        waiting = asyncio.get_running_loop().run_in_executor(None, stop_flag.wait)
        await asyncio.sleep(0)
        waiting.cancel()
        raise RuntimeError("a watcher died")

    assert run_with(fails, monkeypatch).failure is not None


def test_events_reach_the_feed_in_its_own_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    threads: set[str] = set()

    class Listening(Feed):
        def event(self, kind: Kind, deleted: bool, body: Any) -> None:
            threads.add(threading.current_thread().name)
            super().event(kind, deleted, body)

    async def tells(registry: kopf.OperatorRegistry, stop_flag: threading.Event, **_: Any) -> None:
        for handler in registry._watching.get_all_handlers():
            fn: Any = handler.fn
            await fn(event={"type": "ADDED", "object": body(str(handler.id))})
        await asyncio.to_thread(stop_flag.wait)

    monkeypatch.setattr(kopf, "operator", tells)

    async def story() -> None:
        sight = Watch(Listening(sink, Clock()))
        sight.start()
        while len(sink.held) < len(KINDS):
            await asyncio.sleep(0.001)
        await sight.stop(10)
        assert sight.failure is None

    asyncio.run(asyncio.wait_for(story(), 10))
    assert {name for _, _, name in sink.held} == {kind.plural for kind in KINDS}
    assert threads == {threading.main_thread().name}


def test_kopf_only_watches() -> None:
    told = settings()
    assert told.scanning.disabled
    assert told.peering.standalone
    assert not told.posting.enabled
    assert (told.queueing.worker_limit, told.queueing.idle_timeout) == (200, 0.2)
    assert told.watching.label_selectors[JOBS.group, JOBS.version, JOBS.plural] == "modelslo.dev/model"
    registry = watch.handlers(lambda kind, deleted, body: None)
    assert not list(registry._spawning.get_all_handlers())
    assert not list(registry._changing.get_all_handlers())
    assert not list(registry._indexing.get_all_handlers())


def test_the_watch_logs_in_as_the_kubeconfig_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443", "insecure-skip-tls-verify": True}}],
        "users": [{"name": "u", "user": {"token": "a-token"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    found = login(settings=settings())
    assert (found.server, found.scheme, found.token, found.insecure) == (
        "https://127.0.0.1:6443",
        "Bearer",
        "a-token",
        True,
    )


def test_a_user_without_a_name_can_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's user 65532 is in no passwd file; the identity that kopf would make up wants the user's name."""
    given: dict[str, Any] = {}

    async def operator(**arguments: Any) -> None:
        given.update(arguments)

    run_with(operator, monkeypatch)
    assert given["identity"]
