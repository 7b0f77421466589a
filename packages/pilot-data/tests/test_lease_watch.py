"""When it makes sense to try to take over what somebody else is making."""

from __future__ import annotations

import pytest

from pilot_data.catalogue import LEASE_S
from pilot_data.lease_watch import LeaseWatch
from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord

THEIRS = ReplicaRecord("du-a", "pd-a", ReplicaLetter.RUNNING, "pds-other-1", 10)
OTHER = THEIRS._replace(pilot_data="pd-b")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> LeaseWatch:
    return LeaseWatch(clock)


def test_what_one_finds_when_one_comes_may_be_of_long_ago(watch: LeaseWatch) -> None:
    assert watch.may_be_over(THEIRS, is_old=True)
    assert watch.may_be_over(THEIRS, is_old=False), "until it was tried"
    watch.tried(THEIRS)
    assert not watch.may_be_over(THEIRS, is_old=True)


def test_what_begins_while_one_looks_has_the_time_of_a_lease(watch: LeaseWatch, clock: Clock) -> None:
    assert watch.next_s() is None
    assert not watch.may_be_over(THEIRS, is_old=False)
    assert watch.next_s() == LEASE_S
    clock.now_s += LEASE_S - 1
    assert not watch.may_be_over(THEIRS, is_old=False)
    assert watch.next_s() == pytest.approx(1.0)
    clock.now_s += 1
    assert watch.may_be_over(THEIRS, is_old=False)
    assert watch.next_s() is None, "nothing comes of waiting any longer"


@pytest.mark.parametrize("change", [{"bytes": 11}, {"owner": "pds-third-1"}])
def test_who_is_heard_of_lives(watch: LeaseWatch, clock: Clock, change: dict[str, object]) -> None:
    assert not watch.may_be_over(THEIRS, is_old=False)
    clock.now_s += LEASE_S
    assert not watch.may_be_over(THEIRS._replace(**change), is_old=False)  # type: ignore[arg-type]
    assert watch.next_s() == LEASE_S


def test_the_first_lease_to_end_is_waited_for(watch: LeaseWatch, clock: Clock) -> None:
    watch.may_be_over(THEIRS, is_old=False)
    clock.now_s += 10
    watch.may_be_over(OTHER, is_old=False)
    assert watch.next_s() == LEASE_S - 10
    watch.keep_only([("du-a", "pd-b")])
    assert watch.next_s() == LEASE_S
    watch.keep_only([])
    assert watch.next_s() is None
