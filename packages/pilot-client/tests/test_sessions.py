"""Sessions: found by server, by id and by URL; private; and with an embedded server, gone with the application."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from local_redis import LocalRedis
from pilot import PilotComputeService, open_sessions
from pilot.session import Session
from pilot_data import PilotDataService
from pilot_protocol import reads
from pilot_protocol.errors import CoordinationError, DescriptionError, VersionError
from pilot_session.coordination_url import parse_object_url

LIMIT_S = 60


def test_a_session_is_found_by_its_server_and_by_its_id(url: str) -> None:
    session = open_sessions.default(url)
    assert (
        open_sessions.default(url)
        is open_sessions.join(session.id)
        is open_sessions.newest_default()
        is session
    )
    assert open_sessions.choose(url, session) is open_sessions.choose(None, session.id) is session
    assert open_sessions.find(session.url_of("pcs", "pcs-aaaaaaaa"), "pcs") == (session, "pcs-aaaaaaaa")


def test_a_closed_session_is_not_given_out(url: str) -> None:
    session = open_sessions.default(url)
    session.close()
    session.close()
    again = open_sessions.join(session.id)
    assert (again.id, again.is_open) == (session.id, True)
    assert open_sessions.default(url).id != session.id
    assert again.key_hex == session.key_hex


def test_the_environment_names_the_server(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_COORDINATION_URL", url)
    assert open_sessions.default() is open_sessions.default(url)


def test_the_file_of_a_session_is_private(url: str, home: Path) -> None:
    session = open_sessions.default(url)
    file = home / ".local/state/pilot/sessions" / f"{session.id}.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["key"] == session.key_hex
    assert session.key_hex not in f"{session!r} {session.seal!r}"


def test_without_a_file_nobody_can_come_back_but_work_goes_on(url: str, home: Path) -> None:
    (home / ".local").write_text("in the way")
    with pytest.warns(RuntimeWarning, match="nobody can reconnect to session s-"):
        session = open_sessions.default(url)
    assert session.query(reads.protocol(session.keys)) is not None


@pytest.mark.parametrize("lease_s", [4.9, 0, -1])
def test_a_lease_has_a_least_length(url: str, lease_s: float) -> None:
    with pytest.raises(DescriptionError, match="at least 5 s are needed"):
        Session.create(url, lease_s=lease_s)


def test_who_joins_takes_the_lease_that_the_session_has(url: str) -> None:
    session = Session.create(url, lease_s=7)
    session.close()
    assert open_sessions.join(session.id).lease_s == 7


def test_a_session_of_another_major_version_is_refused(session: Session, server: LocalRedis) -> None:
    session.close()
    server.command("HSET", session.keys.named("meta"), "protocol", "2.3")
    with pytest.raises(VersionError, match=r"speaks protocol 2\.3, this side speaks 1\."):
        open_sessions.join(session.id)


def test_a_server_that_drops_data_is_told(
    url: str, server: LocalRedis, caplog: pytest.LogCaptureFixture
) -> None:
    server.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    server.command("CONFIG", "SET", "maxmemory", "1gb")
    with caplog.at_level(logging.INFO):
        open_sessions.default(url)
    told = {record.levelname for record in caplog.records if "allkeys-lru" in record.message}
    assert told == {"WARNING"}


@pytest.mark.parametrize(("snapshots", "level"), [("", "WARNING"), ("3600 1", "INFO")])
def test_a_server_that_may_forget_is_told_once(
    url: str, server: LocalRedis, caplog: pytest.LogCaptureFixture, snapshots: str, level: str
) -> None:
    server.command("CONFIG", "SET", "save", snapshots)
    with caplog.at_level(logging.INFO):
        open_sessions.default(url)
    assert [record.levelname for record in caplog.records if "append-only" in record.message] == [level]


def test_an_unreachable_server_leaves_no_session_behind(home: Path) -> None:
    with pytest.raises(CoordinationError, match="cannot be reached"):
        open_sessions.default("redis://127.0.0.1:1")
    assert not list(home.rglob("*.json"))


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_application_without_a_server_leaves_nothing(home: Path) -> None:
    printed = run(
        """
        from pilot import ComputeDataService, PilotComputeService
        pilots = PilotComputeService()
        work = ComputeDataService()
        work.add_pilot_compute_service(pilots)
        unit = work.submit_compute_unit({"executable": "/bin/true"})
        print(unit.state, pilots.session.url.path)
        """
    ).split()
    assert printed[0] == "Pending"
    assert not Path(printed[1]).parent.exists()
    assert not list(home.rglob("*.json"))


@pytest.mark.parametrize("data_first", [True, False])
def test_services_of_pilots_and_of_data_with_one_url_share_a_session(url: str, data_first: bool) -> None:
    makers: list[Callable[[str], PilotComputeService | PilotDataService]]
    makers = (
        [PilotDataService, PilotComputeService] if data_first else [PilotComputeService, PilotDataService]
    )
    services = [make(url) for make in makers]
    assert len({parse_object_url(service.url).session for service in services}) == 1


def test_a_service_of_data_without_a_url_joins_the_session_that_there_is(home: Path, tmp_path: Path) -> None:
    printed = run(
        f"""
        from pilot import ComputeDataService, PilotComputeService, PilotDataService
        before = PilotDataService()
        pilots = PilotComputeService()
        service = PilotDataService()
        store = service.create_pilot({{"service_url": "file://{tmp_path}/store"}})
        unit = store.submit_data_unit({{"file_urls": [__import__("sys").executable]}})
        assert unit.wait()
        print(before.url.partition(":")[0], pilots.session.id in store.url, unit.state)
        """
    ).split()
    assert printed == ["local", "True", "Running"]
    assert not list(home.rglob("*.json"))


def test_a_forked_child_numbers_its_own_units(url: str) -> None:
    ids = run(
        f"""
        import os
        from pilot import ComputeDataService
        work = ComputeDataService({url!r})
        true = {{"executable": "/bin/true"}}
        print(work.submit_compute_unit(true).id, flush=True)
        child = os.fork()
        unit = work.submit_compute_unit(true)
        unit.cancel()
        assert unit.wait(30) == "Canceled", unit.state
        if child:
            os.waitpid(child, 0)
        print(unit.id, flush=True)
        """
    ).split()
    assert len(set(ids)) == 3
    assert len({name.rpartition("-")[0] for name in ids}) == 2


def test_a_forked_child_talks_to_redis_over_a_connection_of_its_own(url: str) -> None:
    ids = run(
        f"""
        import os, threading
        from pilot import Session, open_sessions
        from pilot_protocol.operation import Query
        from pilot_session.shared_sessions import shared
        session = Session.create({url!r})
        me = Query(("CLIENT", "ID"), int)
        parents = session.query(me)
        held = threading.Event()

        def hold():
            with shared.lock, session.tracker.changed, session.store._outbox._lock, session.store.link._lock:
                held.set()
                child_is_done.wait()

        child_is_done = threading.Event()
        holder = threading.Thread(target=hold)
        holder.start()
        held.wait()
        child = os.fork()
        if not child:
            print(session.query(me), flush=True)
            session.store.cancel(["cu-aaaaaa-0"])
            assert open_sessions.join(session.id).wait_for(lambda: True, None)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        child_is_done.set()
        holder.join()
        assert session.query(me) == parents
        print(parents, status)
        """
    ).split()
    assert ids[0] != ids[1]
    assert ids[2] == "0"


def test_ctrl_c_ends_a_wait_at_once(url: str) -> None:
    run(
        f"""
        import os, signal, threading
        from pilot import Session
        session = Session.create({url!r})
        send = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT))
        try:
            session.wait_for(lambda: send.ident is None and send.start(), None)
        except KeyboardInterrupt:
            pass
        else:
            raise AssertionError("Ctrl-C was not heard")
        """
    )


def test_an_embedded_server_whose_keeper_was_killed_is_given_up_with_all_that_it_leaves(home: Path) -> None:
    printed = run(
        """
        import logging, os, signal
        from pilot import CoordinationError, Session, open_sessions
        logging.disable()
        session = open_sessions.default()
        killed = []
        class Placeholder:
            def kill(self):
                killed.append("killed")
        session.placeholders["p-aaaaaaaa"] = Placeholder()
        server = session._server
        os.kill(server.record.keeper_pid, signal.SIGKILL)
        try:
            session.wait_for(lambda: False, 50)
        except CoordinationError as error:
            print("does not come back" in str(error), error.transient, *killed, server.directory.exists())
        print(open_sessions.default().id != session.id)
        """
    ).split()
    assert printed == ["True", "False", "killed", "False", "True"]
    assert not list(home.rglob("*.json"))


def test_pilot_log_shows_what_is_logged(url: str) -> None:
    program = (
        f"import logging; from pilot import Session; Session.create({url!r});"
        "logging.getLogger('pilot_session.redis_link').info('server.restarted')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PILOT_LOG": "info"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert "INFO pilot.session the Redis server at" in done.stderr
    assert "INFO pilot_session.redis_link server.restarted" in done.stderr
