"""Which units a claim leases, in which order, and what a repeated one says."""

from __future__ import annotations

from typing import Any

import pytest

from pilot_protocol.keys import queue_name, shape_of
from pilot_protocol.operation import BarrierError, FencedError, PilotEndedError
from pilot_protocol.unit_ops import LeasedUnit
from scripted_session import OWNER, ScriptedSession, queue, unit_id


def test_a_repeated_number_gives_the_same_units_the_next_one_others(session: ScriptedSession) -> None:
    session.submit(*range(5))
    pilot = session.pilot()
    first = pilot.ask(2)
    assert first.units == tuple(LeasedUnit(unit_id(n), 1, b"description %d" % n) for n in (0, 1))
    assert pilot.ask(2, again=True).units == first.units
    assert pilot.claim(2) == [2, 3]
    assert pilot.claim(2) == [4]
    assert pilot.claim(2, again=True) == [4]


def test_a_repeated_number_leaves_out_what_has_started(session: ScriptedSession) -> None:
    session.submit(*range(4))
    pilot = session.pilot()
    pilot.claim(4)
    pilot.report((0, 1, "R"), (1, 1, "U"), (2, 1, "D"))
    assert pilot.claim(4, again=True) == [3]


def test_a_repeated_empty_claim_takes_nothing_later(session: ScriptedSession) -> None:
    pilot = session.pilot()
    assert pilot.claim(1) == []
    session.submit(0)
    assert pilot.claim(1, again=True) == []
    assert pilot.claim(1) == [0]


ORDERS: dict[str, tuple[tuple[tuple[int, int], ...], list[int]]] = {
    "order of submission": (((1, 0), (1, 0), (1, 0)), [0, 1, 2]),
    "order over shapes": (((2, 0), (1, 0), (2, 0), (1, 0)), [0, 1, 2, 3]),
    "priority first": (((1, 0), (1, 5), (1, -5)), [1, 0, 2]),
    "priority over shapes": (((1, 0), (2, 5), (1, 5), (4, 0), (2, -1)), [1, 2, 0, 3, 4]),
    "large first": (((4, 1), (1, 0), (4, 1)), [0, 2, 1]),
}


@pytest.mark.parametrize(("units", "order"), ORDERS.values(), ids=ORDERS.keys())
def test_priority_then_order(session: ScriptedSession, units: Any, order: list[int]) -> None:
    for number, (cores, priority) in enumerate(units):
        session.submit(number, into=queue(cores, priority=priority))
    pilot = session.pilot(cores=16)
    assert pilot.claim(len(units), cores=16) == order


def test_one_by_one_the_order_is_the_same(session: ScriptedSession) -> None:
    for number, (cores, priority) in enumerate([(1, 0), (2, 5), (1, 5), (4, 0), (2, -1)]):
        session.submit(number, into=queue(cores, priority=priority))
    pilot = session.pilot(cores=16)
    assert [pilot.claim(1, cores=16) for _ in range(6)] == [[1], [2], [0], [3], [4], []]


def test_owners_share_a_pilot_in_order_of_submission(session: ScriptedSession) -> None:
    pilot = session.pilot()
    for number in range(4):
        session.submit(number, into=queue(owner=(OWNER, pilot.name)[number % 2]))
    assert pilot.claim(4) == [0, 1, 2, 3]


MISFITS = {
    "cores": shape_of(5, 1),
    "block": shape_of(3, 3),
    "gpus": shape_of(1, 1, gpus=2),
    "memory": shape_of(1, 1, memory_mb=1001),
}


@pytest.mark.parametrize("shape", MISFITS.values(), ids=MISFITS.keys())
def test_what_does_not_fit_is_skipped(session: ScriptedSession, shape: str) -> None:
    session.submit(0, into=queue_name(OWNER, ",", shape, 9))
    session.submit(1, into=queue_name(OWNER, ",", shape_of(4, 2, 1, 1000), 0))
    pilot = session.pilot(cores=4, node_cores=2, gpus=1, memory_mb=1000)
    assert pilot.claim(4, cores=4, reserve=True) == [1]
    assert session.letters(0) == "N"


def test_who_tells_of_no_gpus_has_none(session: ScriptedSession) -> None:
    session.submit(0, into=queue(gpus=1))
    assert session.pilot().claim(1) == []


def test_others_queues_are_not_looked_into(session: ScriptedSession) -> None:
    mine, other = session.pilot("p-aaaaaaaa"), session.pilot("p-bbbbbbbb")
    session.submit(0, into=queue(owner=other.name))
    session.submit(1, into=queue(owner="cds-zzzzzzzz"))
    assert mine.claim(4) == []
    assert other.claim(4) == [0]


RESERVES: dict[str, tuple[tuple[int, ...], int, bool, list[int]]] = {
    "the budget is kept": ((2, 2, 2), 4, False, [0, 1]),
    "too large is left": ((8, 1), 4, False, [1]),
    "one too large comes": ((8, 1), 4, True, [0, 1]),
    "only one of them": ((8, 8, 1), 4, True, [0, 2]),
    "its cores are not counted": ((4, 4, 1, 1), 1, True, [0, 2]),
    "what fits comes first if it was there first": ((1, 8, 1), 4, True, [0, 1, 2]),
    "a remainder is filled": ((3, 3, 1), 4, False, [0, 2]),
    "a remainder is reserved": ((3, 3, 1), 4, True, [0, 1, 2]),
    "nothing free": ((1,), 0, True, []),
}


@pytest.mark.parametrize(("sizes", "free", "reserve", "taken"), RESERVES.values(), ids=RESERVES.keys())
def test_cores_and_the_reserve(
    session: ScriptedSession, sizes: Any, free: int, reserve: bool, taken: Any
) -> None:
    for number, cores in enumerate(sizes):
        session.submit(number, into=queue(cores))
    pilot = session.pilot(cores=8)
    assert pilot.claim(8, cores=free, reserve=reserve) == taken


def test_who_asks_for_no_unit_gets_none(session: ScriptedSession) -> None:
    session.submit(0)
    assert session.pilot().claim(0, cores=1) == []


def test_a_wish_for_a_place_prefers_who_is_there(session: ScriptedSession) -> None:
    far, near = session.pilot("p-aaaaaaaa", label=",there"), session.pilot("p-bbbbbbbb", label=",here")
    session.submit(0, 1, into=queue(label="here"))
    assert far.claim(1) == []
    assert near.claim(1) == [0]
    session.pass_lease(near)
    assert session.sweep() == 1
    assert far.claim(2) == [0, 1]


def test_a_wish_yields_when_who_is_there_cannot_take_the_unit(session: ScriptedSession) -> None:
    session.pilot("p-bbbbbbbb", label=",here", cores=1)
    session.pilot("p-cccccccc", label=",here", cores=8, service="pcs-other")
    far = session.pilot("p-aaaaaaaa", label=",there", cores=4)
    session.submit(0, into=queue(2, label="here"))
    session.submit(1, into=queue(1, label="here"))
    assert far.claim(4, cores=4) == [0]


LABELS = {
    "machine": (",here", "dc,here", "dc,there"),
    "datacenter": ("dc,", "dc,here", "other,here"),
    "both": ("dc,here", "dc,here", "dc,there"),
}


@pytest.mark.parametrize(("wish", "near", "far"), LABELS.values(), ids=LABELS.keys())
def test_datacenter_and_machine(session: ScriptedSession, wish: str, near: str, far: str) -> None:
    session.submit(0, into=queue_name(OWNER, wish, shape_of(1, 1), 0))
    there, here = session.pilot("p-bbbbbbbb", label=far), session.pilot("p-aaaaaaaa", label=near)
    assert (there.claim(1), here.claim(1)) == ([], [0])


def test_canceled_units_are_passed_over(session: ScriptedSession) -> None:
    session.submit(*range(6))
    assert session.cancel(0, 1, 3) == "111"
    assert session.pilot().claim(2) == [2, 4]


def test_each_lease_is_a_new_attempt(session: ScriptedSession) -> None:
    session.submit(0)
    pilot = session.pilot()
    for attempt in (1, 2, 3):
        assert [unit.attempt for unit in pilot.ask(1).units] == [attempt]
        pilot.report((0, attempt, "U"))


def test_who_may_not_claim(session: ScriptedSession) -> None:
    pilot = session.pilot()
    session.restart_server("second", wait=True)
    with pytest.raises(BarrierError):
        pilot.claim(1)
    old, pilot.epoch = pilot.epoch, "1"
    with pytest.raises(FencedError):
        pilot.claim(1)
    pilot.epoch = old
    pilot.end()
    with pytest.raises(PilotEndedError):
        pilot.claim(1)
