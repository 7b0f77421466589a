"""Keeping a lease while files move, and noticing when there is no sense in it any more."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from catalogue_suite import DU, ME, OTHER, PD, settled, store
from pilot_data.catalogue import Catalogue, DataUnitRecord
from pilot_data.errors import CanceledError
from pilot_data.job import Job
from pilot_data.leases import LeaseKeeper
from pilot_data.local_catalogue import LocalCatalogue
from pilot_protocol.data_records import ReplicaLetter
from pilot_protocol.errors import CoordinationError
from pilot_protocol.states import State

Change = Callable[[Catalogue], object]


@pytest.fixture
def catalogue() -> Catalogue:
    """One in which a replica is being made, of two that are asked for."""
    found = LocalCatalogue()
    found.add_data_unit(DataUnitRecord(DU, {}))
    for name in (PD, OTHER):
        found.add_pilot_data(store(name))
        found.ask(DU, name)
    found.claim(DU, PD, ME, 100)
    return found


def keeper_of(catalogue: Catalogue, job: Job) -> LeaseKeeper:
    return LeaseKeeper(catalogue, DU, PD, ME, job)


@pytest.mark.parametrize(
    "change",
    [
        lambda catalogue: catalogue.end_data_unit(DU, State.Canceled),
        lambda catalogue: catalogue.end_pilot_data(PD, State.Canceled),
        lambda catalogue: catalogue.forget(DU, PD),
        lambda catalogue: catalogue.settle(settled(ReplicaLetter.CANCELED)),
    ],
    ids=["data unit ended", "Pilot-Data ended", "replica forgotten", "replica withdrawn"],
)
def test_a_transfer_that_nobody_wants_is_canceled(catalogue: Catalogue, change: Change) -> None:
    job = Job()
    with keeper_of(catalogue, job):
        change(catalogue)
        with pytest.raises(CanceledError):
            job.wait(30)


def test_what_becomes_of_another_replica_is_all_the_same(catalogue: Catalogue) -> None:
    job = Job()
    with keeper_of(catalogue, job) as keeper:
        catalogue.forget(DU, OTHER)
        catalogue.end_pilot_data(OTHER, State.Canceled)
        keeper.count(5)
        job.check()
    catalogue.settle(settled(ReplicaLetter.DONE))
    job.check()


def test_bytes_that_have_moved_are_told_when_the_lease_is_renewed(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilot_data.leases.RENEW_S", 0.01)

    def moved() -> int:
        unit = catalogue.data_unit(DU)
        assert unit is not None
        return unit.replicas[PD].bytes

    with keeper_of(catalogue, Job()) as keeper:
        keeper.count(30)
        keeper.count(12)
        assert catalogue.wait_for(lambda: moved() == 42, 30)


def test_a_server_that_is_away_ends_no_transfer(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilot_data.leases.RENEW_S", 0.01)
    tried, back = threading.Event(), threading.Event()
    renew = catalogue.renew

    def away(*arguments: object) -> bool:
        tried.set()
        if not back.is_set():
            raise CoordinationError("the server is away")
        return renew(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(catalogue, "renew", away)
    job = Job()
    with keeper_of(catalogue, job) as keeper:
        assert tried.wait(30)
        job.check()
        keeper.count(7)
        back.set()
        assert catalogue.wait_for(lambda: catalogue.data_unit(DU).replicas[PD].bytes == 7, 30)  # type: ignore[union-attr]
        job.check()


def test_its_thread_ends_when_the_replica_is_settled(catalogue: Catalogue) -> None:
    before = set(threading.enumerate())
    with keeper_of(catalogue, Job()):
        (thread,) = set(threading.enumerate()) - before
    catalogue.settle(settled(ReplicaLetter.DONE))
    thread.join(5)
    assert not thread.is_alive()
