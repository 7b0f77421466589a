"""The watcher: what happens in Redis is known here, whatever happens to the connection, the stream or the server."""

from __future__ import annotations

import logging
import threading

import pytest

from fake_agent import StartPilot
from local_redis import LocalRedis
from pilot import ComputeDataService, ComputeUnit
from pilot.config import ClientConfig
from pilot.following import follow_unit
from pilot.session import Session
from pilot.tracker import TrackedPilot
from pilot.watcher import Watcher
from pilot_protocol import pilot_ops, reads
from pilot_protocol.errors import CoordinationError
from pilot_protocol.states import State
from pilot_session.session_file import SessionFiles

SERVICE, OWNER = "pcs-aaaaaaaa", "cds-aaaaaaaa"
TRUE = {"executable": "/bin/true"}
LIMIT_S = 30.0


@pytest.fixture
def work(session: Session, start_pilot: StartPilot) -> ComputeDataService:
    """A compute-data service that the pilots of one service work for."""
    made = ComputeDataService(session=session)
    session.store.attach(SERVICE, made.id, attached=True)
    return made


def comes(session: Session, unit: ComputeUnit, state: State) -> bool:
    return session.wait_for(lambda: unit.state is state, LIMIT_S)


def test_states_come_by_themselves(
    session: Session, work: ComputeDataService, start_pilot: StartPilot
) -> None:
    agent = start_pilot()
    unit = work.submit_compute_unit(TRUE)
    assert unit.state is State.Pending
    leased = agent.claim()
    agent.report(leased, "S")
    assert comes(session, unit, State.Staging)
    agent.report(leased, "R")
    assert comes(session, unit, State.Running)
    agent.report(leased, "D")
    assert comes(session, unit, State.Done)


def test_long_consequences_are_followed_up_without_waiting_for_a_heartbeat(url: str) -> None:
    session = Session.create(url, lease_s=3600.0)
    work = ComputeDataService(session=session)
    root = work.submit_compute_unit(TRUE)
    units = work.submit_compute_units([{**TRUE, "depends_on": [root]}] * 6000)
    root.cancel()
    assert comes(session, units[-1], State.Canceled)


def test_a_unit_whose_pilot_is_lost_is_pending_again(
    session: Session, work: ComputeDataService, start_pilot: StartPilot
) -> None:
    agent = start_pilot()
    unit = work.submit_compute_unit(TRUE)
    agent.report(agent.claim(), "R")
    assert comes(session, unit, State.Running)
    agent.end("Failed")
    assert comes(session, unit, State.Pending)
    assert session.tracker.pilots[agent.pilot].state is State.Failed


def test_a_broken_connection_misses_nothing(
    session: Session,
    work: ComputeDataService,
    server: LocalRedis,
    start_pilot: StartPilot,
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent = start_pilot()
    unit = work.submit_compute_unit(TRUE)
    with caplog.at_level(logging.CRITICAL):
        server.close_connections()
        agent.finish_all()
        assert comes(session, unit, State.Done)


def test_a_reader_that_fell_behind_the_stream_reads_the_records(
    session: Session, work: ComputeDataService, server: LocalRedis, start_pilot: StartPilot
) -> None:
    agent = start_pilot()
    unit = work.submit_compute_unit(TRUE)
    with session.tracker.changed:  # the watcher stands still after its next event
        leased = agent.claim()
        agent.report(leased, "R")
        agent.report(leased, "D")
        events = session.keys.named("events")
        for number in range(250):
            server.command("XADD", events, "*", "R", f"cu-zzzzzz-{number}")
        server.command("XTRIM", events, "MAXLEN", "=", 220)
    assert comes(session, unit, State.Done)


def test_what_an_emptied_server_lost_for_good_is_failed(
    session: Session, work: ComputeDataService, server: LocalRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilot.watcher.LOST_AFTER_S", 0.2)
    unit = work.submit_compute_unit(TRUE)
    session.store._outbox.prune(float("inf"))  # confirmed longer ago than it is kept
    server.command("FLUSHALL", "SYNC")
    server.close_connections()
    assert comes(session, unit, State.Failed)
    assert (unit.details["reason"], unit.exit_code) == ("lost", None)


def test_what_another_client_brings_back_is_not_lost(work: ComputeDataService, server: LocalRedis) -> None:
    """The one that knows nothing of what was said lately comes first, and makes the session anew."""
    session = work._session
    unit = work.submit_compute_unit(TRUE)
    other = Session(SessionFiles(ClientConfig.from_environment().sessions_dir).load(session.id))
    theirs = ComputeUnit.of(other, *follow_unit(other, unit.id))
    first = work.submit_compute_unit(TRUE)
    theirs_first = ComputeUnit.of(other, *follow_unit(other, first.id))
    first.cancel()
    assert comes(session, first, State.Canceled), "its watcher has swept, and will not for a while"
    assert comes(other, theirs_first, State.Canceled)
    server.command("FLUSHALL", "SYNC")
    assert other.store.sweep(other.store.link), "it makes the session anew"
    assert other.query(reads.units(other.keys, [unit.id])) == [None]
    reader = Watcher(other.url, other.keys, other.store, other.tracker, other.lease_s, lambda: None)
    reader._read_records()
    reader.stop()
    assert theirs.state is State.Pending
    assert session.store.sweep(session.store.link), "it is another one, so what was said lately is said again"
    assert not session.store.sweep(session.store.link)
    unit.cancel()
    assert comes(other, theirs, State.Canceled)
    other.close()


def test_what_an_emptied_server_lost_lately_goes_on(
    session: Session, work: ComputeDataService, server: LocalRedis, start_pilot: StartPilot
) -> None:
    agent = start_pilot()
    units = work.submit_compute_units([TRUE] * 3)
    server.stop()
    server.start()
    work.submit_compute_unit(TRUE)
    agent.register()
    agent.report(agent.claim_when_allowed(), "D")
    assert all(comes(session, unit, State.Done) for unit in units)


def test_a_pilot_that_went_silent_is_ended(url: str) -> None:
    session = Session.create(url, lease_s=5)
    pilot = session.tracker.set_pilot(TrackedPilot("p-bbbbbbbb", SERVICE, 1, State.Pending))
    session.store.create_pilot(pilot.id, SERVICE, {"service_url": "fork://localhost"})
    session.store.link.run(pilot_ops.register(session.keys, pilot.id, "one", 1, {"cores": 1}))
    assert session.wait_for(lambda: pilot.state is State.Failed, LIMIT_S)
    session.close()


def test_pilots_of_other_clients_are_met(session: Session, work: ComputeDataService) -> None:
    unit = work.submit_compute_unit(TRUE)
    unit.cancel()
    assert comes(session, unit, State.Canceled), "from now on the watcher listens"
    description = {"service_url": "fork://localhost", "number_of_processes": 8}
    session.store.create_pilot("p-cccccccc", SERVICE, description)
    assert session.wait_for(
        lambda: (
            "p-cccccccc" in session.tracker.pilots
            and session.tracker.pilots["p-cccccccc"].state is State.Pending
        ),
        LIMIT_S,
    )
    assert session.tracker.pilots["p-cccccccc"].service == SERVICE


def waiting(unit: ComputeUnit) -> tuple[threading.Thread, list[str]]:
    """Wait for a unit in a thread; returns it and what it was told in the end."""
    told: list[str] = []

    def wait() -> None:
        try:
            unit.wait()
        except CoordinationError as error:
            told.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    return thread, told


def test_who_waits_learns_that_the_server_refuses_for_good(
    work: ComputeDataService, server: LocalRedis, start_pilot: StartPilot, caplog: pytest.LogCaptureFixture
) -> None:
    start_pilot()
    thread, told = waiting(work.submit_compute_unit(TRUE))
    with caplog.at_level(logging.CRITICAL):
        server.command("ACL", "SETUSER", "default", "-xread")
        server.close_connections()
        thread.join(LIMIT_S)
    assert ["NOPERM" in text for text in told] == [True]


def test_who_waits_learns_that_the_session_was_closed(
    session: Session, work: ComputeDataService, start_pilot: StartPilot
) -> None:
    start_pilot()
    thread, told = waiting(work.submit_compute_unit(TRUE))
    session.close()
    thread.join(LIMIT_S)
    assert ["was closed" in text for text in told] == [True]
