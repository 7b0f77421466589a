"""The order of the agent's conversation with Redis, held against a link that answers what the test wants."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Union

import pytest

from clock_loop import ClockLoop, clock_loop
from core_builders import end
from pilot_agent import events
from pilot_agent.actions import Claim, Report, ReportItem
from pilot_agent.config import AgentConfig
from pilot_agent.coordination_parts import Hooks, Parts
from pilot_agent.coordinator import Coordinator
from pilot_agent.intake import Intake
from pilot_agent.outcome import Outcome, ServerClock
from pilot_agent.redis_link import LinkLostError, RedisLink, ServerFullError
from pilot_protocol import pilot_ops, unit_ops
from pilot_protocol.errors import CoordinationError, VersionError
from pilot_protocol.operation import (
    ORDERS_PER_REPLY,
    BarrierError,
    FencedError,
    Operation,
    PilotEndedError,
    Query,
)
from pilot_protocol.signing import Seal
from pilot_protocol.version import PROTOCOL

LEASE_S = 30.0
LOST = LinkLostError("cut")
DONE = Report([ReportItem("cu-a-1", 1, "D", end=end())])
CONFIG = AgentConfig(
    Path("agent.json"), "redis://nowhere", "s-a", bytes(32), "p-a", 2, Path("/s"), lease_s=LEASE_S
)

Answer = Union[Exception, Callable[[], Any], Any]


class ScriptedLink(RedisLink):
    """Answers well, unless the test has laid another answer ready."""

    def __init__(self) -> None:
        super().__init__("redis://nowhere", 1.0)
        self.boot = "boot-1"
        self.protocol: str | None = PROTOCOL
        self.record = {b"epoch": b"100", b"instance": b"nonce"}
        self.said: list[str] = []
        self.ready: dict[str, deque[Answer]] = {}
        self.bell: asyncio.Queue[str] = asyncio.Queue()
        self._usual: dict[str, Any] = {
            "register_pilot": pilot_ops.Registered("100", PROTOCOL, 0),
            "sync_pilot": (),
            "beat_pilot": pilot_ops.Beaten(0, False, ()),
            "claim_units": unit_ops.Claimed(0, (), ()),
            "end_pilot": 1,
        }

    def answer(self, script: str, *answers: Answer) -> None:
        self.ready.setdefault(script, deque()).extend(answers)

    async def connect(self) -> None:
        self.said.append("connect")
        self._next("connect", None)

    async def run(self, operation: Operation[Any]) -> Any:
        self.said.append(operation.script)
        await asyncio.sleep(0)  # a reply takes at least a turn of the loop
        if operation.script == "report_units":
            count = len(operation.arguments[2:]) // 4
            return self._next("report_units", unit_ops.Reported(0, True, "1" * count))
        return self._next(operation.script, self._usual.get(operation.script))

    async def query(self, query: Query[Any]) -> Any:
        if query.command[0] == "HGETALL":
            return query.parse(self.record)
        return self.protocol

    async def wait_for_bell(self, door: str) -> str:
        return await self.bell.get()

    def _next(self, script: str, usual: Any) -> Any:
        ready = self.ready.get(script)
        answer = ready.popleft() if ready else usual
        answer = answer() if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer


class Talk:
    """A coordinator at work, and what it tells the core."""

    def __init__(self, loop: ClockLoop) -> None:
        self.loop = loop
        self.events: list[events.Event] = []
        self.on_event: Callable[[events.Event], None] = lambda _event: None
        self.lately: list[ReportItem] = []
        self.needed: list[bool] = []
        loop.do(self._build)
        self.task = loop.create_task(self.coordinator.run())

    def _build(self) -> None:
        self.link = ScriptedLink()
        seal, clock = Seal("s-a", bytes(32)), ServerClock()
        parts = Parts(self.link, seal, Intake(seal, "p-a", "/s"), Outcome(seal, clock, ["n"]), clock)
        held = [("cu-a-1", 1)]
        hooks = Hooks(
            self._dispatch,
            lambda: held,
            lambda _e: None,
            lambda: self.needed.append(True),
            lambda _i, _o: None,
            lambda: self.lately,
            dict,
        )
        self.coordinator = Coordinator(CONFIG, "nonce", parts, hooks)
        self.bell = self.loop.create_task(self.coordinator.listen())

    def _dispatch(self, event: events.Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def heard(self, kind: type) -> int:
        return sum(isinstance(event, kind) for event in self.events)

    def said(self) -> list[str]:
        """Return what was said since the last time."""
        self.loop.spin()
        said, self.link.said[:] = list(self.link.said), []
        return said

    def connected(self) -> None:
        """Let the first connection be made, and forget it."""
        self.loop.spin()
        self.loop.spin()
        assert self.said()[:3] == ["connect", "register_pilot", "sync_pilot"]
        self.events.clear()


@pytest.fixture
def loop() -> Iterator[ClockLoop]:
    with clock_loop() as loop:
        yield loop


@pytest.fixture
def talk(loop: ClockLoop) -> Talk:
    return Talk(loop)


def test_first_the_pilot_is_taken_up_then_said_what_is_held_then_asked_for_more(talk: Talk) -> None:
    def core(event: events.Event) -> None:
        if isinstance(event, events.LinkBack):
            talk.coordinator.claim(Claim(1, 1, 0))

    talk.on_event = core
    assert talk.said() == ["connect", "register_pilot", "sync_pilot", "beat_pilot", "claim_units"]
    assert talk.heard(events.UnitsClaimed) == 1


def test_ends_are_told_before_what_is_held(talk: Talk) -> None:
    talk.coordinator.report(DONE)
    assert talk.said()[:4] == ["connect", "register_pilot", "report_units", "sync_pilot"]
    assert talk.heard(events.ReportConfirmed) == 1


def test_what_got_no_answer_is_said_again_on_a_new_connection(talk: Talk) -> None:
    talk.connected()
    talk.link.answer("report_units", LOST)
    talk.coordinator.report(DONE)
    assert talk.said() == ["report_units"]
    talk.loop.advance(0.05)
    assert talk.said() == ["connect", "beat_pilot", "report_units"]
    assert talk.heard(events.ReportConfirmed) == 1


def test_more_orders_than_a_reply_holds_are_asked_for_at_once(talk: Talk) -> None:
    talk.connected()
    full = tuple((number, b"order") for number in range(1, ORDERS_PER_REPLY + 1))
    talk.link.answer("beat_pilot", pilot_ops.Beaten(0, False, full))
    talk.link.bell.put_nowait("control")
    assert talk.said() == ["beat_pilot", "beat_pilot"]
    talk.link.answer("claim_units", unit_ops.Claimed(0, full, ()))
    talk.coordinator.claim(Claim(1, 1, 0))
    assert talk.said() == ["claim_units", "beat_pilot"]


def test_a_claim_is_repeated_under_its_number(talk: Talk) -> None:
    talk.connected()
    talk.link.answer("claim_units", LOST)
    talk.coordinator.claim(Claim(1, 1, 0))
    talk.loop.spin()
    number = talk.coordinator._claim_number
    talk.loop.advance(0.05)
    assert talk.said()[-1] == "claim_units"
    assert talk.coordinator._claim_number == number


def test_a_report_that_the_core_will_make_again_is_not_sent_twice(talk: Talk) -> None:
    """The core was told that the link is back and makes its report anew: an answer to the old one would be one too many."""
    talk.connected()

    def core(event: events.Event) -> None:
        if isinstance(event, events.Fenced):
            talk.coordinator.report(DONE)

    talk.on_event = core
    talk.link.answer("beat_pilot", pilot_ops.Beaten(0, True, ()))
    talk.loop.advance(LEASE_S / 3)
    assert talk.said() == ["beat_pilot", "sync_pilot"]
    assert talk.heard(events.LinkBack) == 1


def test_who_moves_files_is_needed_when_replicas_are_asked_for(talk: Talk) -> None:
    talk.connected()
    talk.loop.advance(LEASE_S / 3)
    assert talk.needed == []
    talk.link.answer("beat_pilot", pilot_ops.Beaten(0, False, (), replicas_are_asked=True))
    talk.loop.advance(LEASE_S / 3)
    assert talk.needed == [True]


def test_a_server_that_started_again_is_told_what_it_may_have_forgotten(talk: Talk) -> None:
    talk.connected()
    talk.lately = list(DONE.items)
    talk.link.answer("beat_pilot", LOST)
    talk.link.boot = "boot-2"
    talk.loop.advance(LEASE_S / 3)
    talk.loop.advance(0.05)
    assert talk.said() == ["beat_pilot", "connect", "sync_pilot", "beat_pilot"]
    assert events.ServerForgot(DONE.items) in talk.events


@pytest.mark.parametrize("record", [{}, {b"state": b"Pending"}, {b"epoch": b"99", b"instance": b"nonce"}])
def test_a_server_that_came_back_without_the_pilot_hears_first_whose_reports_these_are(
    talk: Talk, record: dict[bytes, bytes]
) -> None:
    talk.connected()

    def core(event: events.Event) -> None:
        if isinstance(event, events.ServerForgot):
            talk.coordinator.report(DONE)

    talk.on_event = core
    talk.link.answer("beat_pilot", LOST)
    talk.link.boot, talk.link.record = "boot-2", record
    talk.loop.advance(LEASE_S / 3)
    talk.loop.advance(0.05)
    assert talk.said()[1:5] == ["connect", "register_pilot", "report_units", "sync_pilot"]
    assert talk.heard(events.ServerForgot) == 1


def test_a_heartbeat_goes_before_reports_that_do_not_end(talk: Talk) -> None:
    talk.connected()

    def core(event: events.Event) -> None:
        if isinstance(event, events.ReportConfirmed) and len(talk.events) < 100:
            talk.coordinator.report(DONE)

    talk.on_event = core
    talk.link.answer("report_units", *[lambda: _slow(talk)] * 50)
    talk.coordinator.report(DONE)
    said = talk.said()
    assert said.index("beat_pilot") < 15


def _slow(talk: Talk) -> unit_ops.Reported:
    talk.loop.now_s += 1.0
    talk.loop.call_soon(lambda: None)
    return unit_ops.Reported(0, True, "1")


def test_a_busy_agent_claims_and_reports_by_turns(talk: Talk) -> None:
    talk.connected()

    def core(event: events.Event) -> None:
        if len(talk.events) < 10 and isinstance(event, events.ReportConfirmed):
            talk.coordinator.report(DONE)
        if len(talk.events) < 10 and isinstance(event, events.UnitsClaimed):
            talk.coordinator.claim(Claim(1, 1, 0))

    talk.on_event = core
    talk.coordinator.report(DONE)
    talk.coordinator.claim(Claim(1, 1, 0))
    assert talk.said()[:6] == ["claim_units", "report_units"] * 3


def test_a_full_server_is_asked_again_later_and_gets_its_heartbeats(talk: Talk) -> None:
    talk.connected()
    talk.link.answer("claim_units", ServerFullError("full"), BarrierError("wait"))
    talk.coordinator.claim(Claim(1, 1, 0))
    assert talk.said() == ["claim_units"]
    talk.loop.advance(0.9)
    assert talk.said() == []
    talk.coordinator.report(DONE)
    assert talk.said() == ["report_units"]
    talk.loop.advance(0.1)
    assert talk.said() == ["claim_units"]
    talk.loop.advance(1.0)
    assert talk.said() == ["claim_units"]
    assert talk.heard(events.UnitsClaimed) == 1


def test_a_pilot_with_another_agent_is_left_to_it(talk: Talk) -> None:
    talk.connected()
    talk.link.record = {b"epoch": b"101", b"instance": b"another"}
    talk.link.answer("beat_pilot", FencedError("newer"))
    talk.loop.advance(LEASE_S / 3)
    assert talk.said() == ["beat_pilot"]
    with pytest.raises(PilotEndedError, match="another agent has taken up pilot p-a"):
        talk.task.result()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {b"epoch": b"99", b"instance": b"another"},
        {b"epoch": b"101", b"instance": b"nonce"},
        {b"epoch": b"garbage", b"instance": b"another"},
    ],
)
def test_a_pilot_that_the_server_has_forgotten_is_taken_up_again(
    talk: Talk, record: dict[bytes, bytes]
) -> None:
    talk.connected()
    talk.link.record = record
    talk.link.answer("beat_pilot", FencedError("newer"))
    talk.loop.advance(LEASE_S / 3)
    assert talk.said() == ["beat_pilot", "register_pilot", "sync_pilot", "beat_pilot"]
    has_forgotten = record.get(b"epoch") != b"101"
    assert talk.heard(events.ServerForgot) == has_forgotten, (
        "what it forgot of the pilot it forgot of its units"
    )


def test_a_lost_pilot_tells_all_its_results_before_it_asks_for_its_place(talk: Talk) -> None:
    talk.connected()
    more = [DONE, DONE]

    def core(event: events.Event) -> None:
        if isinstance(event, events.ReportConfirmed) and more:
            talk.coordinator.report(more.pop())

    talk.on_event = core
    talk.link.answer("report_units", *[unit_ops.Reported(0, False, "1")] * 3)
    talk.coordinator.report(DONE)
    assert talk.said()[:4] == ["report_units", "report_units", "report_units", "register_pilot"]


def test_without_contact_the_units_are_stopped_before_the_lease_ends(talk: Talk) -> None:
    talk.connected()
    talk.link.answer("beat_pilot", *[LOST] * 1000)
    talk.link.answer("connect", *[LOST] * 1000)
    for _ in range(26):
        talk.loop.advance(1.0)
    assert talk.heard(events.LeaseEnded) == 0
    talk.loop.advance(1.0)
    assert talk.heard(events.LeaseEnded) == 1
    talk.link.ready.clear()
    talk.loop.advance(2.0)
    assert talk.said()[-3:] == ["connect", "sync_pilot", "beat_pilot"]
    assert talk.heard(events.LinkBack) == 1


def test_the_bell_brings_orders_or_work(talk: Talk) -> None:
    talk.connected()
    talk.link.bell.put_nowait("control")
    assert talk.said() == ["beat_pilot"]
    talk.link.bell.put_nowait("work")
    assert talk.said() == []
    assert talk.events == [events.Doorbell()]


def test_a_session_of_another_version_is_refused(talk: Talk) -> None:
    talk.link.protocol = "2.0"
    talk.loop.spin()
    with pytest.raises(VersionError, match=r"2\.0"):
        talk.task.result()


def test_a_session_that_is_not_there_is_waited_for_and_then_given_up(talk: Talk) -> None:
    talk.link.protocol = None
    talk.loop.spin()
    assert not talk.task.done()
    talk.loop.advance(1000.0)
    with pytest.raises(CoordinationError, match="no contact to Redis for 30 s: session s-a is not on this"):
        talk.task.result()


def test_the_end_is_told_after_the_last_report(talk: Talk) -> None:
    talk.connected()
    talk.coordinator.end(pilot_ops.PilotEnd("Done", ""))
    talk.coordinator.report(DONE)
    assert talk.said() == ["report_units", "end_pilot"]
    assert talk.task.result() is None
