"""The catalogue in Redis does as the one in memory does: the same calls, the same answers, the same errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from pilot_data import local_catalogue
from pilot_data.catalogue import LEASE_S, DataUnitRecord, PilotDataRecord
from pilot_data.errors import NoSpaceError
from pilot_data.local_catalogue import LocalCatalogue
from pilot_data.redis_catalogue import RedisCatalogue
from pilot_protocol.data_records import FileRecord, ReplicaRecord
from pilot_protocol.errors import ForgedRecordError, PilotError, StateError
from pilot_protocol.states import State
from shared_catalogue import KEY, KEYS, SESSION, Server, flat

UNITS = st.sampled_from(["du-a", "du-a", "du-b"])
STORES = st.sampled_from(["pd-a", "pd-a", "pd-b"])
OWNERS = st.sampled_from(["pds-a", "pds-b"])
PATHS = st.sampled_from(["a", "b/c", "grün \udcff\n|"])
SIZES = st.sampled_from([0, 1, 40, 60, 101, 3 * 10**15])
REASONS = st.sampled_from(["", "why", "full | 100 %\n\udcff {used}"])
FINALS = st.sampled_from([State.Done, State.Failed, State.Canceled])
FILES = st.builds(
    FileRecord, PATHS, SIZES, link=st.sampled_from(["", "", "a"]), checksum=st.sampled_from(["", "f" * 64])
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of these tests' own."""
    with Server.running() as server:
        yield server


class Clock:
    """Stands for the module `time` in the catalogue in memory."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return time.monotonic() + self.ahead_s


class TwoCatalogues(RuleBasedStateMachine):
    """Says everything to both."""

    server: Server

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        vars(local_catalogue)["time"] = self.clock
        self.server.open_session()
        self.local = LocalCatalogue()
        self.shared = self.server.catalogue()

    @initialize(wanted=st.integers(1, 2))
    def begin(self, wanted: int) -> None:
        """Let there be something to work with."""
        self.add_pilot_data("pd-a", 0.0001)
        self.add_data_unit("du-a", wanted)

    def teardown(self) -> None:
        """Let go of both."""
        vars(local_catalogue)["time"] = time
        self.shared.close()

    def both(self, verb: str, *arguments: Any, **keys: Any) -> Any:
        """Call both; return what both answered, or the type and the text of their errors."""
        local, shared = (_answer(getattr(one, verb), arguments, keys) for one in (self.local, self.shared))
        assert shared == local, f"{verb}{arguments}: {shared} in Redis, {local} in memory"
        return shared

    @rule(name=STORES, size=st.sampled_from([0, 0.0001, 0.00005]))
    def add_pilot_data(self, name: str, size: float) -> None:
        self.both("add_pilot_data", PilotDataRecord(name, "pds-a", {"service_url": "/d", "size": size}))

    @rule(name=STORES, state=FINALS, reason=REASONS)
    def end_pilot_data(self, name: str, state: State, reason: str) -> None:
        self.both("end_pilot_data", name, state, reason)

    @rule(name=UNITS, wanted=st.integers(1, 3))
    def add_data_unit(self, name: str, wanted: int) -> None:
        self.both("add_data_unit", DataUnitRecord(name, {"number_of_replicas": wanted}))

    @rule(name=UNITS, state=FINALS, reason=REASONS)
    def end_data_unit(self, name: str, state: State, reason: str) -> None:
        self.both("end_data_unit", name, state, reason)

    @rule(name=UNITS, files=st.lists(FILES, max_size=3))
    def put_files(self, name: str, files: list[FileRecord]) -> None:
        self.both("put_files", name, files)

    @rule(name=UNITS, paths=st.lists(PATHS, max_size=3))
    def remove_files(self, name: str, paths: list[str]) -> None:
        self.both("remove_files", name, paths)

    @rule(name=UNITS, store=STORES)
    def ask(self, name: str, store: str) -> None:
        self.both("ask", name, store)

    @rule(name=UNITS, store=STORES, owner=OWNERS, size=SIZES, adds=st.sampled_from([False, False, True]))
    def claim(self, name: str, store: str, owner: str, size: int, adds: bool) -> None:
        self.both("claim", name, store, owner, size, adds=adds)

    @rule(name=UNITS, store=STORES, owner=OWNERS, moved=SIZES)
    def renew(self, name: str, store: str, owner: str, moved: int) -> None:
        self.both("renew", name, store, owner, moved)

    @rule(
        name=UNITS, store=STORES, owner=OWNERS, size=SIZES, reason=REASONS, letter=st.sampled_from(["D", "D", "F", "C", "P"])
    )  # fmt: skip
    def settle(self, name: str, store: str, owner: str, size: int, reason: str, letter: str) -> None:
        self.both("settle", ReplicaRecord(name, store, letter, owner, size, reason))

    @rule(name=UNITS, store=STORES)
    def forget(self, name: str, store: str) -> None:
        self.both("forget", name, store)

    @rule()
    def pass_leases(self) -> None:
        """Let all leases have passed, without waiting for it."""
        self.clock.ahead_s += 2 * LEASE_S
        self.server.pass_leases()

    @invariant()
    def know_the_same(self) -> None:
        for verb, kind in (("list_pilot_data", "pilot_data"), ("list_data_units", "data_unit")):
            for name in self.both(verb):
                self.both(kind, name)
                if kind == "data_unit":
                    self.both("files", name)
        assert sorted(self.local.asked()) == self.shared.asked()
        self.both("pilot_data", "pd-z")
        self.both("data_unit", "du-z")
        self.both("files", "du-z")


def _answer(call: Callable[..., Any], arguments: tuple[Any, ...], keys: dict[str, Any]) -> Any:
    try:
        return call(*arguments, **keys)
    except PilotError as error:
        return type(error), str(error)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_both_catalogues_do_the_same(server: Server) -> None:
    TwoCatalogues.server = server
    run_state_machine_as_test(
        TwoCatalogues,
        settings=settings(
            max_examples=40, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.fixture
def catalogue(server: Server) -> Iterator[RedisCatalogue]:
    """The catalogue of a new session, with a Pilot-Data and a data unit."""
    server.open_session()
    catalogue = server.catalogue()
    catalogue.add_pilot_data(PilotDataRecord("pd-a", "pds-a", {"service_url": "/d", "size": 0.0001}))
    catalogue.add_data_unit(DataUnitRecord("du-a", {}))
    catalogue.add_data_unit(DataUnitRecord("du-b", {}))
    yield catalogue
    catalogue.close()


def test_many_files_come_back_sorted(catalogue: RedisCatalogue) -> None:
    files = [FileRecord(f"f/{number:04}", number) for number in range(1234)]
    catalogue.put_files("du-a", iter(reversed(files)))
    assert catalogue.files("du-a") == files
    catalogue.remove_files("du-a", [file.path for file in files[:1001]])
    assert catalogue.files("du-a") == files[1001:]
    unit = catalogue.data_unit("du-a")
    assert unit is not None
    assert (unit.files, unit.bytes) == (233, sum(range(1001, 1234)))


def test_what_is_in_the_way_is_said_in_the_replica(catalogue: RedisCatalogue) -> None:
    catalogue.ask("du-b", "pd-a")
    catalogue.claim("du-b", "pd-a", "pds-b", 40)
    catalogue.ask("du-a", "pd-a")
    with pytest.raises(NoSpaceError, match="40 are used") as refused:
        catalogue.claim("du-a", "pd-a", "pds-a", 61)
    unit = catalogue.data_unit("du-a")
    assert unit is not None
    assert unit.state is State.Failed
    assert unit.reason == unit.replicas["pd-a"].reason == str(refused.value)


@pytest.mark.parametrize(
    ("key", "field", "read"),
    [
        ("pilot_data", "pd-a", lambda catalogue: catalogue.pilot_data("pd-a")),
        ("data_units", "du-a", lambda catalogue: catalogue.data_unit("du-a")),
        ("files:du-a", "a", lambda catalogue: catalogue.files("du-a")),
    ],
)
def test_who_has_not_the_key_cannot_write(
    server: Server, catalogue: RedisCatalogue, key: str, field: str, read: Callable[[RedisCatalogue], Any]
) -> None:
    catalogue.put_files("du-a", [FileRecord("a", 1)])
    name = KEYS.named(key)
    sealed = server.client.hget(name, field)
    assert isinstance(sealed, bytes)
    server.client.hset(name, field, sealed.replace(sealed[-3:], b"9" + sealed[-2:]))
    with pytest.raises(ForgedRecordError, match="not signed with this session's key"):
        read(catalogue)


@pytest.mark.parametrize(("data_unit", "path"), [("du-b", "a"), ("du-a", "b")])
def test_a_file_s_record_belongs_to_one_place(
    server: Server, catalogue: RedisCatalogue, data_unit: str, path: str
) -> None:
    catalogue.put_files("du-a", [FileRecord("a", 1)])
    server.client.hset(KEYS.files(data_unit), path, server.client.hget(KEYS.files("du-a"), "a"))
    with pytest.raises(ForgedRecordError):
        catalogue.files(data_unit)


def test_another_key_opens_nothing(server: Server, catalogue: RedisCatalogue) -> None:
    other = RedisCatalogue(server.url, SESSION, bytes(reversed(KEY)))
    with pytest.raises(ForgedRecordError):
        other.data_unit("du-a")
    other.close()


def test_a_state_that_is_spoilt_is_unknown(server: Server, catalogue: RedisCatalogue) -> None:
    server.client.hset(KEYS.named("data_unit_states"), "du-a", "Nonsense|1|")
    server.client.hset(KEYS.named("pilot_data_states"), "pd-a", b"\xff")
    unit, store = catalogue.data_unit("du-a"), catalogue.pilot_data("pd-a")
    assert unit is not None
    assert store is not None
    assert unit.state is store.state is State.Unknown


def test_a_session_that_is_gone_is_an_error(server: Server, catalogue: RedisCatalogue) -> None:
    server.client.flushall()
    assert catalogue.list_data_units() == []
    with pytest.raises(PilotError, match="NOSESSION"):
        catalogue.ask("du-a", "pd-a")


def test_only_one_of_many_gets_a_lease(server: Server, catalogue: RedisCatalogue) -> None:
    catalogue.ask("du-a", "pd-a")
    granted: list[str] = []
    start = threading.Barrier(4)

    def claim(owner: str) -> None:
        mine = server.catalogue()
        start.wait()
        if mine.claim("du-a", "pd-a", owner, 1).granted:
            granted.append(owner)
        mine.close()

    threads = [threading.Thread(target=claim, args=(f"pds-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    unit = catalogue.data_unit("du-a")
    assert unit is not None
    assert [unit.replicas["pd-a"].owner] == granted


def test_unknown_data_units_are_named(catalogue: RedisCatalogue) -> None:
    for call in (catalogue.files, lambda name: catalogue.put_files(name, [FileRecord("a")])):
        with pytest.raises(StateError, match="du-zzz"):
            call("du-zzz")


def test_nothing_that_is_kept_holds_the_key(
    server: Server, catalogue: RedisCatalogue, tmp_path: Path
) -> None:
    catalogue.put_files("du-a", [FileRecord("a", 1)])
    kept = flat(server.client)
    assert KEY[:20] not in kept
    assert KEY.hex().encode() not in kept
