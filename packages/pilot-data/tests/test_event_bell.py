"""Who waits for a change in a session is woken by whoever makes it, and hears of it when the server is gone."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from pilot_data.catalogue import DataUnitRecord, PilotDataRecord
from pilot_data.event_bell import EventBell
from pilot_protocol.errors import CoordinationError
from pilot_protocol.states import State
from shared_catalogue import KEY, KEYS, SESSION, Server

LIMIT_S = 30.0

ADD_ONE = f"""
import sys
from pilot_data.catalogue import DataUnitRecord
from pilot_data.redis_catalogue import RedisCatalogue
from pilot_session import coordination_url
catalogue = RedisCatalogue(coordination_url.parse(sys.argv[1]), {SESSION!r}, bytes.fromhex({KEY.hex()!r}))
catalogue.add_data_unit(DataUnitRecord("du-a", {{}}))
"""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server with an empty session."""
    with Server.running() as server:
        server.open_session()
        yield server


@pytest.fixture
def bell(server: Server) -> Iterator[EventBell]:
    """A bell that does not wait long for a server."""
    bell = EventBell(server.url, KEYS, patience_s=LIMIT_S)
    yield bell
    bell.close()


class Watched:
    """A condition that says when it is asked for the first time, and the thread that waits for it."""

    def __init__(self, bell: EventBell, holds: Callable[[], bool], timeout_s: float | None = LIMIT_S) -> None:
        self._holds = holds
        self._bell = bell
        self._timeout_s = timeout_s
        self.asked = threading.Semaphore(0)
        self.answer: bool | CoordinationError | None = None
        self._thread = threading.Thread(target=self._wait)
        self._thread.start()
        assert self.asked.acquire(timeout=LIMIT_S)

    def _ask(self) -> bool:
        held = self._holds()
        self.asked.release()
        return held

    def _wait(self) -> None:
        try:
            self.answer = self._bell.wait_for(self._ask, self._timeout_s)
        except CoordinationError as error:
            self.answer = error

    def result(self) -> bool | CoordinationError | None:
        """Return how it ended."""
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        return self.answer


def test_what_another_process_does_wakes(server: Server, bell: EventBell) -> None:
    catalogue = server.catalogue()
    watched = Watched(bell, lambda: catalogue.data_unit("du-a") is not None)
    subprocess.run([sys.executable, "-c", ADD_ONE, server.redis.url], check=True)
    assert watched.result() is True
    catalogue.close()


def test_everything_that_changes_wakes(server: Server, bell: EventBell) -> None:
    catalogue = server.catalogue()
    done = threading.Event()
    watched = Watched(bell, done.is_set)
    catalogue.add_pilot_data(PilotDataRecord("pd-a", "pds-a", {}))
    assert watched.asked.acquire(timeout=LIMIT_S)
    catalogue.add_data_unit(DataUnitRecord("du-a", {}))
    assert watched.asked.acquire(timeout=LIMIT_S)
    catalogue.ask("du-a", "pd-a")
    assert watched.asked.acquire(timeout=LIMIT_S)
    done.set()
    catalogue.end_data_unit("du-a", State.Canceled)
    assert watched.result() is True
    catalogue.close()


def test_several_are_woken(server: Server, bell: EventBell) -> None:
    catalogue = server.catalogue()
    watched = [Watched(bell, lambda: bool(catalogue.list_data_units())) for _ in range(3)]
    catalogue.add_data_unit(DataUnitRecord("du-a", {}))
    assert [one.result() for one in watched] == [True] * 3
    catalogue.close()


def test_what_holds_already_is_not_waited_for(bell: EventBell) -> None:
    assert bell.wait_for(lambda: True, None)


@pytest.mark.parametrize("timeout_s", [0.0, 0.05])
def test_time_runs_out(bell: EventBell, timeout_s: float) -> None:
    assert not bell.wait_for(lambda: False, timeout_s)


def test_a_condition_that_fails_is_heard_of(bell: EventBell) -> None:
    def fail() -> bool:
        raise ValueError("why")

    with pytest.raises(ValueError, match="why"):
        bell.wait_for(fail, None)


def test_a_server_that_was_restarted_wakes_who_waits(server: Server, bell: EventBell) -> None:
    is_back = threading.Event()
    watched = Watched(bell, is_back.is_set)
    server.redis.stop()
    is_back.set()
    server.redis.start()
    assert watched.result() is True


def test_changes_after_a_restart_wake(server: Server, bell: EventBell) -> None:
    catalogue = server.catalogue()
    catalogue.add_data_unit(DataUnitRecord("du-a", {}))
    watched = Watched(bell, lambda: len(catalogue.list_data_units()) == 2)
    server.redis.stop()
    server.redis.start()
    catalogue.add_data_unit(DataUnitRecord("du-b", {}))
    assert watched.result() is True
    catalogue.close()


def test_a_server_that_does_not_come_back_is_an_error(server: Server) -> None:
    bell = EventBell(server.url, KEYS, patience_s=0.1)
    watched = [Watched(bell, lambda: False, None) for _ in range(2)]
    server.redis.stop()
    for one in watched:
        assert isinstance(one.result(), CoordinationError)
    with pytest.raises(CoordinationError):
        bell.wait_for(lambda: False, None)
    server.redis.start()
    assert bell.wait_for(lambda: True, None), "it goes on as soon as there is a server again"
    bell.close()


def test_who_waits_hears_that_the_bell_was_closed(bell: EventBell) -> None:
    watched = Watched(bell, lambda: False, None)
    bell.close()
    assert isinstance(watched.result(), CoordinationError)
