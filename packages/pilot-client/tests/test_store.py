"""What the client says to Redis: sealed for those who obey it, and said again when it may have been forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from fake_agent import StartPilot
from local_redis import LocalRedis
from pilot import open_sessions
from pilot.outbox import Outbox
from pilot.session import Session
from pilot_protocol import pilot_ops, reads, unit_payloads
from pilot_protocol.errors import CoordinationError
from pilot_protocol.keys import Keys, label_of, queue_name, shape_of
from pilot_protocol.messages import ControlOrder
from pilot_protocol.operation import BarrierError, Operation, PilotEndedError
from pilot_protocol.pilot_ops import PilotEnd
from pilot_protocol.unit_ops import NewUnit

SERVICE, OWNER = "pcs-aaaaaaaa", "cds-aaaaaaaa"
UNITS = ["cu-aaaaaa-0", "cu-aaaaaa-1"]


def operation(name: str) -> Operation[int]:
    return pilot_ops.create_pilot(Keys("s-1"), name, "", b"")


def submit(session: Session, owner: str = OWNER) -> int:
    """Submit two units."""
    queue = queue_name(owner, label_of(), shape_of(1, 1), 0)
    templates, sealed = unit_payloads.pack(session.seal, UNITS, [{"executable": "true"}] * 2)
    units = [NewUnit(name, queue, record) for name, record in zip(UNITS, sealed, strict=True)]
    return session.store.submit("aaaaaa", owner, units, templates).added


def restart(server: LocalRedis) -> None:
    """Have the server lose everything."""
    server.stop()
    server.start()


def test_the_outbox_keeps_what_is_not_confirmed_and_what_was_confirmed_lately() -> None:
    outbox = Outbox(30)
    first, second, third = (outbox.put(operation(name)) for name in ("p-1", "p-2", "p-3"))
    outbox.confirm(first, 100)
    outbox.confirm(third, 101)
    assert len(outbox) == 3
    outbox.prune(130)
    assert [said.arguments[0] for said in outbox.operations()] == ["p-2", "p-3"]
    outbox.confirm(second, 130)
    outbox.prune(160)
    assert len(outbox) == 0


def test_the_outbox_forgets_what_failed() -> None:
    outbox = Outbox(30)
    outbox.take_back(outbox.put(operation("p-1")))
    assert not outbox.operations()


def test_the_outbox_keeps_longer_than_a_lease(url: str) -> None:
    session = Session.create(url, lease_s=45)
    assert session.store._outbox.keep_s == 45
    session.close()


def test_what_was_submitted_survives_a_server_that_loses_everything(
    session: Session, server: LocalRedis, start_pilot: StartPilot
) -> None:
    agent = start_pilot()
    session.store.attach(SERVICE, OWNER, attached=True)
    assert submit(session) == 2
    restart(server)
    session.store.cancel(["cu-zzzzzz-0"])  # any word with the new server
    agent.register()
    records = session.query(reads.units(session.keys, UNITS))
    assert [record.letter for record in records if record] == ["N", "N"]
    with pytest.raises(BarrierError):  # others may still run them, and have not said so yet
        agent.claim()


def test_an_emptied_server_is_told_again(
    session: Session, server: LocalRedis, start_pilot: StartPilot
) -> None:
    start_pilot()
    submit(session)
    server.command("FLUSHALL", "SYNC")
    session.store.stop_pilot("p-aaaaaaaa")
    assert [record.letter for record in session.query(reads.units(session.keys, UNITS)) if record] == [
        "N",
        "N",
    ]


class _SeenLock:
    """A lock that tells when somebody wants it."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.wanted = threading.Event()

    def __enter__(self) -> None:
        self.wanted.set()
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def test_nothing_is_said_to_a_server_that_another_thread_is_telling_again(
    session: Session, server: LocalRedis, start_pilot: StartPilot, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_pilot()
    submit(session)
    server.command("FLUSHALL", "SYNC")
    lock, reopened = _SeenLock(), threading.Event()
    monkeypatch.setattr(session.store, "_restoring", lock)

    def say(operation: Operation[Any]) -> Any:
        reply = session.store.link.run(operation)
        if not reopened.is_set():
            lock.wanted.clear()
            reopened.set()
            assert lock.wanted.wait(30)
        return reply

    other = threading.Thread(target=session.store.restore, args=[say])
    other.start()
    assert reopened.wait(30)
    session.store.stop_pilot("p-aaaaaaaa")
    records = session.query(reads.units(session.keys, UNITS))
    lock.wanted.set()
    other.join()
    assert [record.letter for record in records if record] == ["N", "N"]


def test_a_restoration_that_is_interrupted_is_begun_again(
    session: Session, server: LocalRedis, start_pilot: StartPilot
) -> None:
    start_pilot()
    submit(session)
    server.command("FLUSHALL", "SYNC")
    said: list[str] = []

    def cut(operation: Operation[Any]) -> Any:
        said.append(operation.script)
        if len(said) > 1:
            raise CoordinationError("cut", transient=True)
        return session.store.link.run(operation)

    with pytest.raises(CoordinationError, match="cut"):
        session.store.restore(cut)
    session.store.sweep(session.store.link)
    records = session.query(reads.units(session.keys, UNITS))
    assert [record.letter for record in records if record] == ["N", "N"]


def test_what_failed_is_not_said_again(session: Session, start_pilot: StartPilot) -> None:
    agent = start_pilot()
    agent.end()
    before = len(session.store._outbox)
    with pytest.raises(PilotEndedError):
        submit(session, agent.pilot)
    assert len(session.store._outbox) == before


def test_an_attachment_that_failed_is_not_said_again(session: Session) -> None:
    session.store.attach(SERVICE, OWNER, attached=True)
    before = dict(session.store._attachments)
    session.store.link.close()
    for owner in (OWNER, "cds-bbbbbbbb"):
        with pytest.raises(CoordinationError, match="closed"):
            session.store.attach(SERVICE, owner, attached=False)
    assert session.store._attachments == before


def test_an_ended_pilot_is_not_brought_back(
    session: Session, server: LocalRedis, start_pilot: StartPilot
) -> None:
    agent = start_pilot()
    submit(session, agent.pilot)
    agent.end()
    assert session.wait_for(lambda: not session.tracker.pilots[agent.pilot].is_live, 20)
    restart(server)
    session.store.cancel(["cu-zzzzzz-0"])
    assert session.query(reads.pilots(session.keys)) == {}


@pytest.mark.parametrize(
    ("say", "heard"),
    [
        (lambda session: session.store.stop_pilot("p-aaaaaaaa"), ControlOrder("stop")),
        (lambda session: session.store.cancel(UNITS[:1]), ControlOrder("cancel", UNITS[0])),
    ],
)
def test_orders_open_with_the_seal_of_what_they_are_for(
    session: Session, start_pilot: StartPilot, say: Callable[[Session], None], heard: ControlOrder
) -> None:
    agent = start_pilot()
    session.store.attach(SERVICE, OWNER, attached=True)
    submit(session)
    agent.report(agent.claim(), "R")
    say(session)
    assert agent.controls() == [heard]


def test_attaching_and_detaching(session: Session, start_pilot: StartPilot) -> None:
    agent = start_pilot()
    session.store.attach(SERVICE, OWNER, attached=True)
    session.store.attach(SERVICE, OWNER, attached=False)
    submit(session)
    assert agent.claim() == []
    assert not session.tracker.pilots_for(OWNER)


def test_a_pilot_is_ended_once(session: Session, start_pilot: StartPilot) -> None:
    start_pilot()
    assert session.store.end_pilot("p-aaaaaaaa", PilotEnd("Failed", "lost", "gone"))
    assert not session.store.end_pilot("p-aaaaaaaa", PilotEnd("Canceled", "canceled"))
    record = session.query(reads.pilot(session.keys, "p-aaaaaaaa"))
    assert (record["state"], record["message"]) == (b"Failed", b"gone")


def test_a_closed_session_says_so(session: Session) -> None:
    session.close()
    with pytest.raises(CoordinationError, match="was closed"):
        submit(session)


def test_who_joined_rebuilds_the_session_with_the_lease_that_it_had(url: str, server: LocalRedis) -> None:
    made = Session.create(url, lease_s=120)
    made.close()
    joined = open_sessions.join(made.id)
    joined._watcher.stop()  # type: ignore[union-attr]
    server.command("FLUSHALL", "SYNC")
    assert joined.store.sweep(joined.store.link)
    assert server.command("HGET", joined.keys.named("meta"), "lease") == b"120000"
