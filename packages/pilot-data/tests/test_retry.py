"""What is tried again, and when that ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest

from pilot_data.entries import Entry, Item, Outcome
from pilot_data.errors import (
    BusyError,
    CanceledError,
    ConnectionLostError,
    LoginError,
    MissingFileError,
    TransferError,
)
from pilot_data.job import Job
from pilot_data.retry import ATTEMPTS, LONGEST_PAUSE_S, move_with_retries, pauses

ITEMS = [Item(Entry(name), name) for name in "abc"]


class PatientJob(Job):
    """Waits no time, and remembers for how long it was asked to."""

    def wait(self, seconds: float) -> None:
        self.check()
        waited.append(seconds)


waited: list[float] = []


@pytest.fixture(autouse=True)
def _forget() -> None:
    waited.clear()


Turn = Callable[[Sequence[Item]], Iterator[Outcome]]


def moved(*turns: Turn) -> list[Outcome]:
    remaining = list(turns)

    def move(items: Sequence[Item]) -> Iterator[Outcome]:
        return remaining.pop(0)(items)

    return list(move_with_retries(move, ITEMS, PatientJob()))


def good(items: Sequence[Item]) -> Iterator[Outcome]:
    return (Outcome(item) for item in items)


def failing(**errors: TransferError) -> Turn:
    return lambda items: iter([Outcome(item, error=errors.get(item.target)) for item in items])


def breaking(error: TransferError, after: int = 0) -> Turn:
    def turn(items: Sequence[Item]) -> Iterator[Outcome]:
        yield from good(items[:after])
        raise error

    return turn


def test_what_lands_is_not_tried_again() -> None:
    assert [outcome.item for outcome in moved(good)] == ITEMS
    assert waited == []


def test_only_what_may_go_better_is_tried_again() -> None:
    given: list[list[str]] = []

    def second(items: Sequence[Item]) -> Iterator[Outcome]:
        given.append([item.target for item in items])
        return good(items)

    outcomes = moved(failing(a=BusyError("later"), b=MissingFileError("gone")), second)
    assert given == [["a"]]
    assert {outcome.item.target: type(outcome.error) for outcome in outcomes} == {
        "a": type(None),
        "b": MissingFileError,
        "c": type(None),
    }
    assert len(waited) == 1


def test_a_lost_connection_goes_on_where_it_ended() -> None:
    outcomes = moved(breaking(ConnectionLostError("cut"), after=2), good)
    assert [outcome.item for outcome in outcomes] == ITEMS


def test_a_storage_that_stays_away_is_given_up() -> None:
    with pytest.raises(ConnectionLostError, match="cut"):
        moved(*[breaking(ConnectionLostError("cut"))] * ATTEMPTS)
    assert len(waited) == ATTEMPTS - 1


def test_progress_renews_the_patience() -> None:
    lost = ConnectionLostError("cut")
    turns = [
        *[breaking(lost)] * (ATTEMPTS - 1),
        breaking(lost, after=1),
        *[breaking(lost)] * (ATTEMPTS - 2),
        good,
    ]
    assert len(moved(*turns)) == len(ITEMS)


def test_a_file_that_keeps_failing_is_told_with_its_error() -> None:
    outcomes = moved(*[failing(b=BusyError("later"))] * ATTEMPTS)
    assert {outcome.item.target: outcome.error is None for outcome in outcomes} == {
        "a": True,
        "b": False,
        "c": True,
    }


@pytest.mark.parametrize("error", [LoginError("no"), CanceledError("stop")])
def test_what_will_not_go_better_is_raised_at_once(error: TransferError) -> None:
    with pytest.raises(type(error)):
        moved(breaking(error))
    assert waited == []


def test_a_canceled_transfer_waits_no_longer() -> None:
    job = Job()
    job.cancel()
    with pytest.raises(CanceledError):
        list(move_with_retries(breaking(ConnectionLostError("cut")), ITEMS, job))


def test_an_adaptor_that_forgets_a_file_is_told_of() -> None:
    with pytest.raises(TransferError, match="did not say what became of 2 files"):
        moved(lambda items: good(items[:1]))


def test_pauses_grow_and_stay_bounded() -> None:
    found = list(pauses())
    assert len(found) == ATTEMPTS - 1
    assert all(0 < pause <= LONGEST_PAUSE_S for pause in found)
