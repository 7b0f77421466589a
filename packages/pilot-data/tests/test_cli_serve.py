"""``pilot-data serve``: what it serves, tells and returns, and what it refuses."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cli_runs import Ran, one_line
from cli_runs import ran as run_cli
from pilot_data import PilotData, PilotDataService, State
from pilot_data.new_data_unit import make_data_unit
from pilot_data.testing.sample_files import write
from redis_process import RedisProcess
from serving_programs import asked_for, serving
from shared_data import PASSWORD, forget_sessions

Cli = Callable[..., Ran]
Stores = tuple[PilotData, PilotData]


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Cli:
    return lambda *arguments: run_cli(capsys, *arguments)


@pytest.fixture
def stores(server: RedisProcess, tmp_path: Path) -> Stores:
    """Two Pilot-Data of two services, of one session."""
    one, two = (
        PilotDataService(server.url).create_pilot({"service_url": f"file://{tmp_path}/{name}"})
        for name in ("one", "two")
    )
    return one, two


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of 2000 bytes."""
    write(str(tmp_path), "file", bytes(2000))
    return tmp_path / "file"


def interrupt_when(returns: Callable[[], object]) -> None:
    """Send this process Ctrl-C when something has come that only a command that serves in it can bring."""

    def wait_and_interrupt() -> None:
        returns()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait_and_interrupt).start()


def made_of(store: PilotData, *file_urls: str) -> Callable[[], object]:
    """Ask for a data unit; return what waits until it is there."""
    return partial(asked_for(store, *file_urls).wait, 30)


def test_what_is_done_is_told_in_lines(
    ran: Cli, stores: Stores, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    unit = asked_for(one, str(file))
    one._session.catalogue.ask(unit.id, two.id)
    interrupt_when(lambda: one._session.catalogue.wait_for(lambda: len(unit.list_pilot_data()) == 2, 30))
    told = ran("serve", "--session", one._session.id)
    assert (told.code, told.err) == (130, "")
    assert told.out.splitlines() == [
        f"serving session {one._session.id}, 2 Pilot-Data",
        f"{unit.id} moves to {one.id}, from where it was named",
        f"{unit.id} is at {one.id} (2.0K)",
        f"{unit.id} moves to {two.id}, from {one.id}",
        f"{unit.id} is at {two.id} (2.0K)",
    ]


def test_what_is_done_is_told_as_json(stores: Stores, file: Path) -> None:
    one, _two = stores
    with serving("--session", one._session.id) as program:
        unit = asked_for(one, str(file))
        assert program.tells("replica")
        code, err = program.end(signal.SIGTERM)
    assert (code, err) == (143, "")
    assert program.events == [
        {"event": "serving", "session": one._session.id, "pilot_data": 2},
        {"event": "begun", "id": unit.id, "pilot_data": one.id, "origin": ""},
        {
            "event": "replica",
            "id": unit.id,
            "pilot_data": one.id,
            "state": "Done",
            "bytes": 2000,
            "reason": "",
        },
    ]


def test_what_fails_is_told_even_if_it_is_to_be_quiet(ran: Cli, stores: Stores, file: Path) -> None:
    one, _two = stores
    waits = made_of(one, str(file))
    file.unlink()
    interrupt_when(waits)
    told = ran("serve", "-q", "--session", one._session.id)
    assert (told.code, told.out) == (130, "")
    assert f"at {one.id} Failed: " in told.err
    assert "No such file" in told.err


def test_files_of_another_machine_are_told_to_be_left(
    ran: Cli, stores: Stores, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = stores
    monkeypatch.setattr("pilot_data.new_data_unit.this_machine", lambda: "far.example.org/1")
    unit = make_data_unit(one._session, {"file_urls": [str(file)]}, [])
    one._session.catalogue.ask(unit.id, one.id)
    monkeypatch.undo()
    interrupt_when(lambda: asked_for(two, str(file)).wait(30))
    told = ran("serve", "--session", one._session.id)
    assert (
        f"{unit.id} at {one.id} is left to others: the files it is made of are on far.example.org" in told.out
    )
    assert unit.state is State.Pending


@pytest.mark.parametrize("by", ["id", "url", "service"])
def test_only_what_is_named_is_served(stores: Stores, file: Path, by: str) -> None:
    one, two = stores
    service = one._session.url_of(_service_of(one))
    name = {"id": one.id, "url": one.url, "service": service}[by]
    with serving(name) as program:
        left, made = asked_for(two, str(file)), asked_for(one, str(file))
        assert program.tells("replica", id=made.id)
        assert [event["id"] for event in program.told("begun")] == [made.id]
    assert left.state is State.Pending
    assert program.events[0]["pilot_data"] == 1


def _service_of(store: PilotData) -> str:
    record = store._session.catalogue.pilot_data(store.id)
    assert record is not None
    return record.service


def test_all_sessions_on_the_server_are_served(
    server: RedisProcess, stores: Stores, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _two = stores
    first = asked_for(one, str(file))
    forget_sessions()
    other = PilotDataService(server.url).create_pilot({"service_url": f"file://{tmp_path}/other"})
    second = asked_for(other, str(file))
    monkeypatch.setenv("PILOT_COORDINATION_URL", server.url)
    with serving() as program:
        assert program.tells("replica", id=first.id, state="Done")
        assert program.tells("replica", id=second.id, state="Done")
        assert len(program.told("serving")) == 2
    with serving("--coordination-url", server.url.replace(f":{PASSWORD}@", "")) as program:
        assert program.comes_to(lambda: len(program.told("serving")) == 2)


def test_limits_are_taken(stores: Stores, file: Path) -> None:
    one, _two = stores
    limits = [
        "--transfers",
        "1",
        "--bandwidth",
        "100M",
        "--bandwidth-of",
        "localhost=50M",
        "--bandwidth-of",
        "far=1k",
    ]
    with serving(*limits, one.id) as program:
        assert program.tells("serving")
        assert asked_for(one, str(file)).wait(30)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--coordination-url redis://host, --session or names", "PILOT_COORDINATION_URL"]),
        (["--transfers", "0"], ["'--transfers': 0 is not in the range"]),
        (["--transfers", "many"], ["'many' is not a valid integer"]),
        (["--bandwidth", "fast"], ["'fast' is no rate"]),
        (["--bandwidth", "0"], ["'0' is no rate"]),
        (["--bandwidth-of", "10M"], ["'10M' is no HOST=RATE"]),
        (["--bandwidth-of", "=10M"], ["'=10M' is no HOST=RATE"]),
        (["--bandwidth-of", "far=x"], ["'x' is no rate"]),
        (["--session", "s-x"], ["'s-x' is no session id"]),
        (
            ["--session", "s-x", "--coordination-url", "redis://h"],
            ["--session and --coordination-url exclude"],
        ),
        (["--coordination-url", "redis://h", "pd-aaaaaaaa"], ["--coordination-url and names exclude"]),
        (["--coordination-url", "redis://u:secret@h"], ["has a password"]),
        (["du-aaaaaaaaaaaa"], ["is a data unit; a Pilot-Data is needed"]),
        (["nonsense"], ["'nonsense' names a 'nonsense'"]),
    ],
)
def test_wrong_usage_is_told(ran: Cli, home: Path, arguments: list[str], words: list[str]) -> None:
    refused = ran("serve", *arguments)
    assert (refused.code, refused.out) == (2, ""), refused
    assert one_line(refused.err, *words)
    assert "secret" not in refused.err


def test_a_session_or_a_server_that_is_not_there_is_told(
    ran: Cli, server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = ran("serve", "--session", "s-aaaaaaaaaaaaaaaa")
    assert unknown.code == 3
    assert one_line(unknown.err, "s-aaaaaaaaaaaaaaaa is not known here")
    monkeypatch.setenv("PILOT_COORDINATION_URL", server.url)
    empty = ran("serve")
    assert empty.code == 1
    assert one_line(ran("serve", "local:///pds-aaaaaaaa").err, "known in its own process only")
    assert one_line(empty.err, "no session that is known on this machine has Pilot-Data")
    assert PASSWORD not in empty.err
