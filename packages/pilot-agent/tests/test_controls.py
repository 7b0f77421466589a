from __future__ import annotations

import logging

import pytest

from pilot_agent import events
from pilot_agent.controls import Controls
from pilot_protocol.messages import ControlOrder
from pilot_protocol.signing import CANCEL, CONTROL, Seal

SEAL = Seal("s-a", bytes(32))
FORGER = Seal("s-a", b"x" * 32)


class Obedience:
    """Controls and the events that they bring about."""

    def __init__(self) -> None:
        self.events: list[events.Event] = []
        self.controls = Controls(SEAL, "p-a", self.events.append, lambda: None)

    def told(self, *messages: tuple[int, bytes]) -> list[events.Event]:
        self.events.clear()
        self.controls.obey(messages)
        return list(self.events)


@pytest.fixture
def agent() -> Obedience:
    return Obedience()


def order(verb: str, seal: Seal = SEAL, pilot: str = "p-a") -> bytes:
    return seal.close(CONTROL, pilot, ControlOrder(verb).to_bytes())


def cancel(unit: str, seal: Seal = SEAL) -> bytes:
    return seal.close(CANCEL, unit, ControlOrder("cancel", unit).to_bytes())


def test_each_order_becomes_its_event(agent: Obedience) -> None:
    assert agent.told((1, order("drain"))) == [events.DrainRequested()]
    assert agent.told((2, order("stop"))) == [events.StopRequested()]
    assert agent.told((3, cancel("cu-a-1"))) == [events.CancelRequested(["cu-a-1"])]


def test_all_cancellations_go_together_and_first(agent: Obedience) -> None:
    assert agent.told((1, cancel("cu-a-1")), (2, order("stop")), (3, cancel("cu-a-2"))) == [
        events.CancelRequested(["cu-a-1", "cu-a-2"]),
        events.StopRequested(),
    ]


def test_an_order_is_obeyed_once(agent: Obedience) -> None:
    assert agent.told((5, order("drain")))
    assert agent.told((5, order("drain")), (4, order("stop"))) == []
    assert agent.controls.seen == 5
    assert agent.told((5, order("drain")), (6, order("stop"))) == [events.StopRequested()]


def test_nothing_told_changes_nothing(agent: Obedience) -> None:
    assert agent.told() == []
    assert agent.controls.seen == 0


@pytest.mark.parametrize(
    "record",
    [
        order("stop", FORGER),
        order("stop", Seal("s-b", bytes(32))),
        order("stop", pilot="p-b"),
        cancel("cu-a-1", FORGER),
        # The seal of one unit's cancellation under the name of another unit.
        cancel("cu-a-1")[:16] + cancel("cu-a-2")[16:],
        # A true record of another kind.
        SEAL.close(CANCEL, "p-a", ControlOrder("stop").to_bytes()),
        SEAL.close(CONTROL, "cu-a-1", ControlOrder("cancel", "cu-a-1").to_bytes()),
        SEAL.close(CONTROL, "p-a", b"no order"),
        SEAL.close(CONTROL, "p-a", b'{"verb": 1}'),
        SEAL.close(CONTROL, "p-a", b'{"verb": "cancel", "unit": ["cu-a-1"]}'),
        b"",
        b"short",
        b"\xff" * 100,
    ],
)
def test_what_is_not_sealed_for_just_this_is_not_obeyed_and_logged(
    agent: Obedience, record: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        told = agent.told((1, record), (2, order("drain")))
    assert told == [events.DrainRequested()]
    assert [entry.getMessage().split()[0] for entry in caplog.records] == ["control.rejected"]


def test_a_forged_order_is_not_asked_for_again(agent: Obedience) -> None:
    agent.told((9, order("stop", FORGER)))
    assert agent.controls.seen == 9


def test_a_verb_of_a_newer_client_is_passed_over(agent: Obedience) -> None:
    assert agent.told((1, order("dance")), (2, order("drain"))) == [events.DrainRequested()]


def test_an_order_of_unreasonable_size_is_not_even_read(agent: Obedience) -> None:
    assert agent.told((1, cancel("cu-" + "a" * 2000)), (2, cancel("cu-a-1"))) == [
        events.CancelRequested(["cu-a-1"])
    ]
