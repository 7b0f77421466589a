"""The picture of a session: moves as the table allows, counts that add up, and threads that are woken."""

from __future__ import annotations

import threading
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.tracked_pilot import Shape
from pilot.tracker import TrackedPilot, Tracker, UnitGroup
from pilot_protocol.errors import CoordinationError
from pilot_protocol.reads import SessionEvent
from pilot_protocol.states import FINAL_LETTERS, STATE_OF_LETTER, State, is_final


def event(pilots: Iterable[tuple[str, str]] = (), **units: str) -> SessionEvent:
    return SessionEvent("1-0", {letter: names.split() for letter, names in units.items()}, list(pilots))


@pytest.fixture
def tracker() -> Tracker:
    return Tracker()


@pytest.fixture
def group(tracker: Tracker) -> UnitGroup:
    """Three units that Redis has."""
    group = tracker.new_group("aaaaaa", "cds-1")
    tracker.confirm(group, tracker.reserve(group, 3), 3)
    return group


def states(group: UnitGroup) -> list[str]:
    return [str(group.state(number)) for number in range(len(group.codes))]


def test_what_happens_to_data_changes_nothing(tracker: Tracker, group: UnitGroup) -> None:
    before, version = states(group), tracker.version
    data = [("du-aaaaaaaaaaaa", "Running"), ("pd-aaaaaaaa", "Canceled"), ("cu-aaaaaa-0", "Failed")]
    assert tracker.apply([SessionEvent("1-0", {}, [], data=data)]) == []
    assert (states(group), tracker.version) == (before, version)


def test_a_unit_is_new_until_redis_has_it(tracker: Tracker) -> None:
    group = tracker.new_group("aaaaaa", "cds-1")
    first = tracker.reserve(group, 2)
    assert states(group) == ["New", "New"]
    tracker.confirm(group, first, 2)
    assert states(group) == ["Pending", "Pending"]


def test_news_that_come_before_the_confirmation_are_kept(tracker: Tracker) -> None:
    group = tracker.new_group("aaaaaa", "cds-1")
    tracker.reserve(group, 2)
    tracker.apply([event(D="cu-aaaaaa-0")])
    tracker.confirm(group, 0, 2)
    assert states(group) == ["Done", "Pending"]


def test_units_whose_submission_failed_are_forgotten(tracker: Tracker, group: UnitGroup) -> None:
    first = tracker.reserve(group, 2)
    tracker.apply([event(F="cu-aaaaaa-4")])
    tracker.withdraw(group, first)
    assert (states(group), group.open) == (["Pending"] * 3, 3)
    tracker.apply([event(R="cu-aaaaaa-3")])  # Redis had it after all
    assert len(group.codes) == 3


def test_events_move_units_and_pilots(tracker: Tracker, group: UnitGroup) -> None:
    tracker.set_pilot(TrackedPilot("p-1", "pcs-1", 4, State.Pending))
    strangers = tracker.apply(
        [
            event(R="cu-aaaaaa-0 cu-aaaaaa-1", pilots=[("p-1", "Running")]),
            event(D="cu-aaaaaa-1", C="cu-aaaaaa-2"),
        ]
    )
    assert states(group) == ["Running", "Done", "Canceled"]
    assert (tracker.pilots["p-1"].state, strangers, group.open) == (State.Running, [], 1)


def test_an_unknown_pilot_is_told_and_unknown_units_are_ignored(tracker: Tracker) -> None:
    assert tracker.apply([event(R="cu-zzzzzz-7", pilots=[("p-9", "Pending")])]) == ["p-9"]
    assert not tracker.groups


def test_one_event_may_say_that_a_unit_ran_and_went_back(tracker: Tracker, group: UnitGroup) -> None:
    tracker.apply([event(N="cu-aaaaaa-0", R="cu-aaaaaa-0 cu-aaaaaa-1", D="cu-aaaaaa-1")])
    assert states(group)[:2] == ["Pending", "Done"]


@given(st.lists(st.sampled_from(sorted(STATE_OF_LETTER)), max_size=12))
def test_a_final_state_is_never_left_and_the_counts_add_up(letters: list[str]) -> None:
    tracker = Tracker()
    group = tracker.new_group("aaaaaa", "cds-1")
    tracker.confirm(group, tracker.reserve(group, 1), 1)
    final = next((STATE_OF_LETTER[letter] for letter in letters if letter in FINAL_LETTERS), None)
    tracker.settle(group, [(0, letter) for letter in letters])
    state = group.state(0)
    assert state is final if final else not is_final(state)
    assert (group.open, list(group.ended)) == ((0, [0]) if final else (1, []))
    counts = tracker.counts_of("cds-1")
    assert (counts[state], sum(counts.values())) == (1, 1)


def test_only_units_that_redis_has_and_that_are_open_are_unsettled(
    tracker: Tracker, group: UnitGroup
) -> None:
    tracker.apply([event(R="cu-aaaaaa-0", F="cu-aaaaaa-1")])
    tracker.reserve(group, 1)
    assert list(group.unsettled()) == [0, 2]


def test_a_unit_of_another_process_is_followed_from_the_moment_it_is_asked_for(tracker: Tracker) -> None:
    group = tracker.new_group("bbbbbb", "cds-1")
    group.show(5)
    tracker.apply([event(D="cu-bbbbbb-4", R="cu-bbbbbb-5")])
    assert (group.state(4), group.state(5), group.open) == (State.Unknown, State.Running, 1)
    group.hide(5)
    assert (group.is_followed(5), group.open) == (False, 0)


@pytest.mark.parametrize("name", ["", "cu", "cu-aaaaaa-", "cu-aaaaaa-x", "cu-aaaaaa--1", "nonsense"])
def test_what_is_no_id_is_in_no_group(tracker: Tracker, group: UnitGroup, name: str) -> None:
    assert tracker.group_of(name)[0] is None


def test_pilots_serve_themselves_and_the_services_they_are_attached_to(tracker: Tracker) -> None:
    for pilot, service in (("p-1", "pcs-1"), ("p-2", "pcs-2"), ("p-3", "pcs-1")):
        tracker.set_pilot(TrackedPilot(pilot, service, 1, State.Running, node_cores=1))
    tracker.set_attached("pcs-1", "cds-1", attached=True)
    tracker.set_attached("pcs-2", "cds-1", attached=True)
    tracker.set_attached("pcs-2", "cds-1", attached=False)
    assert [pilot.id for pilot in tracker.pilots_for("cds-1")] == ["p-1", "p-3"]
    assert [pilot.id for pilot in tracker.pilots_for("p-2")] == ["p-2"]
    tracker.new_group("aaaaaa", "cds-1").shapes.add(Shape(1, 1, 0, 0))
    assert tracker.has_room_for_all("cds-1")
    tracker.apply([event(pilots=[("p-1", "Failed"), ("p-3", "Done")])])
    assert not tracker.has_room_for_all("cds-1")


def test_a_pilot_does_not_come_back(tracker: Tracker) -> None:
    tracker.set_pilot(TrackedPilot("p-1", "pcs-1", 1, State.Done))
    tracker.set_pilot(TrackedPilot("p-1", "", None, State.Running))
    assert tracker.pilots["p-1"] == TrackedPilot("p-1", "pcs-1", 1, State.Done)


def test_a_thread_that_waits_is_woken(tracker: Tracker, group: UnitGroup) -> None:
    ready, woken = threading.Event(), threading.Event()

    def wait() -> None:
        ready.set()
        if tracker.wait_for(lambda: group.open == 0, None):
            woken.set()

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait()
    tracker.apply([event(D="cu-aaaaaa-0 cu-aaaaaa-1 cu-aaaaaa-2")])
    thread.join(20)
    assert woken.is_set()


def test_waiting_ends_when_the_time_is_over(tracker: Tracker, group: UnitGroup) -> None:
    assert not tracker.wait_for(lambda: group.open == 0, 0)


def test_who_waits_is_told_why_nothing_will_come(tracker: Tracker, group: UnitGroup) -> None:
    tracker.fail(CoordinationError("the password was changed"))
    with pytest.raises(CoordinationError, match="the password was changed"):
        tracker.wait_for(lambda: group.open == 0, None)
    assert tracker.wait_for(lambda: group.open == 3, None)
