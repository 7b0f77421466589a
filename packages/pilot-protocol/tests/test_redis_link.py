"""The link to Redis: it survives what a server does, says what to do when it cannot, and never shows a password."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_redis import LocalRedis
from pilot_protocol import pilot_ops, reads
from pilot_protocol.errors import CoordinationError
from pilot_protocol.keys import Keys
from pilot_protocol.operation import FencedError, NoSessionError, Query
from pilot_protocol.version import PROTOCOL
from pilot_session.coordination_url import CoordinationUrl, parse
from pilot_session.redis_link import RedisLink, Say
from pilot_session.redis_refusals import refused
from pilot_session.server_facts import ServerFacts

KEYS = Keys("s-abcdefghijklmnop")
OPEN = pilot_ops.open_session(KEYS, PROTOCOL, 30_000)
SWEEP = pilot_ops.sweep(KEYS)
PING = Query(("PING",), bool)
SECRET = "s3cret-w0rd"
INFO = {
    "run_id": "r1",
    "redis_version": "7.0.15",
    "aof_enabled": 1,
    "maxmemory": 0,
    "maxmemory_policy": "noeviction",
}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="pilot-") as folder:
        yield Path(folder)


@pytest.fixture
def server(short_folder: Path) -> Iterator[LocalRedis]:
    running = LocalRedis(short_folder)
    yield running
    running.stop()


@pytest.fixture
def link(server: LocalRedis) -> Iterator[RedisLink]:
    made = RedisLink(parse(server.url))
    yield made
    made.close()


@pytest.fixture
def protected(short_folder: Path) -> Iterator[LocalRedis]:
    """A server with a password and a user who may do next to nothing."""
    running = LocalRedis(short_folder)
    running.command("ACL", "SETUSER", "eve", "on", f">{SECRET}", "+info")
    running.command("ACL", "SETUSER", "default", "resetpass", f">{SECRET}")
    yield running
    running.stop()


def failure(url: CoordinationUrl, operation: Any = OPEN) -> CoordinationError:
    link = RedisLink(url)
    with pytest.raises(CoordinationError) as caught:
        link.run(operation)
    link.close()
    assert SECRET not in f"{caught.value} {link!r}"
    return caught.value


def test_operations_and_reads_are_answered(link: RedisLink) -> None:
    assert link.run(OPEN).protocol == PROTOCOL
    assert link.query(reads.protocol(KEYS)) == PROTOCOL


def test_a_script_that_the_server_forgot_is_sent_again(link: RedisLink, server: LocalRedis) -> None:
    link.run(OPEN)
    server.command("SCRIPT", "FLUSH")
    assert link.run(OPEN).protocol == PROTOCOL


def test_a_broken_connection_is_made_again(link: RedisLink, server: LocalRedis) -> None:
    link.run(OPEN)
    server.close_connections()
    assert link.run(SWEEP) == 0


def test_a_server_that_is_away_is_waited_for(link: RedisLink, server: LocalRedis) -> None:
    link.run(OPEN)
    server.stop()
    restart = threading.Timer(0, server.start)
    restart.start()
    assert link.query(PING)
    restart.join()


def test_a_server_that_came_back_is_told_first_what_it_forgot(server: LocalRedis) -> None:
    said: list[str] = []

    def restore(say: Say) -> None:
        said.append(say(OPEN).protocol)

    link = RedisLink(parse(server.url), restore=restore)
    link.run(OPEN)
    assert not said
    server.stop()
    server.start()
    assert link.run(SWEEP) == 0  # without the session it would be refused
    assert said == [PROTOCOL]
    link.close()


def test_without_patience_a_broken_connection_is_an_error(server: LocalRedis) -> None:
    link = RedisLink(parse(server.url), patience_s=0)
    link.query(PING)
    server.close_connections()
    with pytest.raises(CoordinationError) as caught:
        link.query(PING)
    assert caught.value.transient
    assert link.query(PING)
    link.close()


def test_ctrl_c_leaves_no_reply_behind(link: RedisLink, monkeypatch: pytest.MonkeyPatch) -> None:
    link.run(OPEN)
    before = link.query(Query(("CLIENT", "ID"), int))
    server = link._server
    assert server is not None

    def interrupted(*words: Any) -> None:
        assert server.client.connection is not None
        server.client.connection.send_command(*words)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(server.client, "execute_command", interrupted)
        with pytest.raises(KeyboardInterrupt):
            link.query(PING)
    assert link.query(Query(("CLIENT", "ID"), int)) != before


def test_closing_ends_a_blocked_read(link: RedisLink) -> None:
    link.run(OPEN)
    outcome: list[Exception] = []

    def listen() -> None:
        try:
            link.query(reads.events(KEYS, "0-0", 60_000))
        except CoordinationError as error:
            outcome.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    link.close()
    thread.join(20)
    assert ["was closed" in str(error) for error in outcome] == [True]


def test_nobody_listens(short_folder: Path) -> None:
    error = failure(CoordinationUrl("redis", "127.0.0.1", 1, password=SECRET))
    assert "redis://127.0.0.1:1/0 cannot be reached" in str(error)
    assert "start one there" in str(error)
    assert error.transient


@pytest.mark.parametrize(
    ("login", "said"),
    [
        (("", ""), "NOAUTH): it wants a password"),
        (("", "wrong"), "WRONGPASS): user or password are wrong"),
        (("eve", SECRET), "NOPERM): this user may not do that"),
    ],
)
def test_a_login_that_is_refused(protected: LocalRedis, login: tuple[str, str], said: str) -> None:
    error = failure(CoordinationUrl("unix", path=str(protected.socket), username=login[0], password=login[1]))
    assert said in str(error)
    assert not error.transient


def test_a_password_that_nobody_asked_for(server: LocalRedis) -> None:
    error = failure(replace(parse(server.url), password=SECRET))
    assert "it has no password; leave the password out of the URL" in str(error)


def test_a_full_server_refuses_new_work_and_takes_the_rest(link: RedisLink, server: LocalRedis) -> None:
    link.run(OPEN)
    server.command("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(CoordinationError, match=r"OOM.*memory is full") as caught:
        link.run(pilot_ops.create_pilot(KEYS, "p-aaaaaaaa", "pcs-aaaaaaaa", b""))
    assert caught.value.transient
    assert link.run(SWEEP) == 0


def test_a_replica_is_refused(link: RedisLink, server: LocalRedis) -> None:
    server.command("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(CoordinationError, match=r"READONLY.*it is a replica"):
        link.run(OPEN)


def test_what_a_script_refuses_has_its_own_error(link: RedisLink) -> None:
    with pytest.raises(NoSessionError):
        link.run(SWEEP)


@pytest.mark.parametrize(
    ("message", "kind", "said"),
    [
        ("FENCED pilot p-1 has a newer epoch", FencedError, "newer epoch"),
        (
            "ERR Error running script (call to f_1): @user_script:9: -OOM command not allowed",
            CoordinationError,
            "(OOM)",
        ),
        ("MISCONF Redis is configured to save RDB snapshots", CoordinationError, "cannot write to its disk"),
        ("BUSY Redis is busy running a script", CoordinationError, "somebody's script"),
        ("ERR unknown command 'EVALSHA'", CoordinationError, "answers: ERR unknown command"),
    ],
)
def test_refusals(message: str, kind: type[Exception], said: str) -> None:
    error = refused("redis://h:6379/0", message)
    assert type(error) is kind
    assert said in str(error)


@pytest.mark.parametrize("version", ["5.0.7", "6.0.16", "6.1"])
def test_an_old_server_is_refused(version: str) -> None:
    facts = ServerFacts.from_info(INFO | {"redis_version": version})
    with pytest.raises(CoordinationError, match=f"is Redis {version}; 6.2 or newer is needed"):
        facts.check("redis://h:6379/0")


@pytest.mark.parametrize(
    ("version", "knows"), [("6.2.14", False), ("7.0.15", True), ("7.2.4", True), ("8.0.1", True)]
)
def test_a_server_of_today_is_taken(version: str, knows: bool) -> None:
    facts = ServerFacts.from_info(INFO | {"redis_version": version})
    facts.check("redis://h:6379/0")
    assert facts.knows_flags is knows


@pytest.mark.parametrize(
    ("memory", "policy", "warns"),
    [
        (0, "allkeys-lru", False),
        (1 << 30, "noeviction", False),
        (1 << 30, "allkeys-lru", True),
        (1, "volatile-ttl", True),
    ],
)
def test_eviction_is_told_when_it_can_happen(memory: int, policy: str, warns: bool) -> None:
    facts = ServerFacts.from_info(INFO | {"maxmemory": memory, "maxmemory_policy": policy})
    assert (policy in facts.eviction_warning("redis://h:6379/0")) is warns


@pytest.mark.parametrize(("snapshots", "what"), [(True, "since its last snapshot"), (False, "everything")])
def test_a_server_without_a_log_is_told(snapshots: bool, what: str) -> None:
    place = "redis://h:6379/0"
    assert ServerFacts.from_info(INFO).persistence_note(place, snapshots=snapshots) == ""
    note = ServerFacts.from_info(INFO | {"aof_enabled": 0}).persistence_note(place, snapshots=snapshots)
    assert "appendonly yes" in note
    assert what in note


def test_something_that_is_no_redis_server(short_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def answer() -> None:
            with listener.accept()[0] as visitor:
                visitor.recv(1000)
                visitor.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        error = failure(parse(f"redis://127.0.0.1:{port}"))
        thread.join()
    assert "is no Redis server" in str(error)
    assert not error.transient


@pytest.mark.parametrize(
    "word", ["NOREPLICAS Not enough good replicas to write.", "TRYAGAIN Multiple keys request"]
)
def test_what_passes_is_transient(word: str) -> None:
    assert refused("redis://h", word).transient
