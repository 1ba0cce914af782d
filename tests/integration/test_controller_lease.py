"""Two candidates and a real Lease."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from kubernetes import client, config

from modelslo.controller.kubelease import KubeLeaseStore
from modelslo.controller.lease import (
    Election,
    Leadership,
    LeaseConflictError,
    LeaseError,
    LeaseRecord,
    LeaseTiming,
)
from tests.cluster import bare
from tests.cluster.access import wait_for
from tests.cluster.bare import BareCluster

pytestmark = [pytest.mark.api, pytest.mark.timeout(120)]

QUICK = LeaseTiming(duration=3.0, renew_deadline=2.0, retry=0.3, request_timeout=0.25)


@pytest.fixture(scope="module")
def cluster() -> Iterator[BareCluster]:
    with bare.start(api_only=True) as running:
        yield running


def store(cluster: BareCluster, name: str, timeout: float = 5.0) -> KubeLeaseStore:
    settings = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)  # type: ignore[no-untyped-call]
    settings.retries = False
    return KubeLeaseStore("default", name, timeout, settings)


def test_a_lease_is_written_and_read(cluster: BareCluster) -> None:
    lease = store(cluster, "plain")
    assert lease.read() is None
    made = lease.create(LeaseRecord("one", 15, 0, "2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.000001Z"))
    assert lease.read() == made
    assert (made.holder, made.duration, made.renewed) == ("one", 15.0, "2026-01-01T00:00:00.000001Z")
    with pytest.raises(LeaseConflictError):
        lease.create(replace(made, version=""))


def test_the_api_server_refuses_a_write_over_an_older_version(cluster: BareCluster) -> None:
    lease = store(cluster, "versions")
    old = lease.create(LeaseRecord("one", 15))
    lease.replace(replace(old, holder="two"))
    with pytest.raises(LeaseConflictError):
        lease.replace(replace(old, holder="three"))


def test_a_leader_writes_a_deleted_lease_anew(cluster: BareCluster) -> None:
    election = Election(store(cluster, "deleted"), "one", LeaseTiming())
    assert election.attempt()
    cluster.kubectl("delete", "lease", "deleted")
    assert election.attempt()
    record = store(cluster, "deleted").read()
    assert record is not None
    assert record.holder == "one"


def test_of_many_that_begin_together_one_leads(cluster: BareCluster) -> None:
    elections = [Election(store(cluster, "crowd"), f"c{i}", LeaseTiming()) for i in range(8)]
    barrier = threading.Barrier(len(elections))

    def stand(election: Election) -> None:
        barrier.wait()
        with contextlib.suppress(LeaseConflictError):
            election.attempt()

    threads = [threading.Thread(target=stand, args=(election,)) for election in elections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(election.leading for election in elections) == 1


class Candidate:
    """A candidate in threads of its own, as in the operator, but for what happens when it loses."""

    def __init__(self, cluster: BareCluster, lease: str, name: str) -> None:
        self.led, self.lost = threading.Event(), threading.Event()
        self.election = Election(store(cluster, lease, QUICK.request_timeout), name, QUICK)
        self.leadership = Leadership(self.election, QUICK, self.led.set, self._lose)
        self.leadership.start()

    def _lose(self, why: str) -> None:
        self.lost.set()


def test_the_second_follows_when_the_first_gives_back(cluster: BareCluster) -> None:
    one = Candidate(cluster, "relay", "one")
    assert one.led.wait(10)
    two = Candidate(cluster, "relay", "two")
    seen = store(cluster, "relay")

    def renewed() -> bool:
        record = seen.read()
        return record is not None and record.renewed > record.acquired

    wait_for("a renewal", renewed)
    assert not two.leadership.leading
    one.leadership.stop(5)
    assert two.led.wait(2), "a Lease that was given back need not run out"
    record = seen.read()
    assert record is not None
    assert (record.holder, record.transitions) == ("two", 1)
    two.leadership.stop(5)


def test_a_leader_that_the_api_server_does_not_answer_stops_before_anyone_follows(cluster: BareCluster) -> None:
    one = Candidate(cluster, "hang", "one")
    assert one.led.wait(10)
    two = Candidate(cluster, "hang", "two")
    wait_for("the follower having looked", lambda: two.election._seen is not None)
    cluster.freeze()
    try:
        assert one.lost.wait(10)
        assert not two.led.is_set()
    finally:
        cluster.thaw()
    assert two.led.wait(15)
    two.leadership.stop(5)


def test_trouble_is_told_in_words(cluster: BareCluster) -> None:
    nowhere = client.Configuration(host="http://127.0.0.1:1")
    nowhere.retries = False
    with pytest.raises(LeaseError, match="GET /apis/coordination"):
        KubeLeaseStore("default", "x", 1.0, nowhere).read()
