"""What a session asks of a server that others use, too: few rights, and no more memory than there is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import pilot_protocol
from pilot_protocol import data_ops, pilot_ops, reads
from pilot_protocol.data_records import FileRecord
from pilot_protocol.keys import Keys
from pilot_protocol.operation import Operation, Query
from scripted_data import ScriptedData
from scripted_session import (
    LEASE_MS,
    OWNER,
    SERVICE,
    SESSION,
    ScriptedPilot,
    ScriptedSession,
    ServerLink,
    queue,
    unit_id,
)

SCRIPT_COMMANDS = (
    "time", "exists", "expire", "del", "unlink",
    "hget", "hgetall", "hmget", "hset", "hsetnx", "hdel", "hexists", "hlen", "hkeys", "hvals", "hincrby",
    "lindex", "llen", "lpop", "lpush", "lrange", "lrem", "ltrim", "rpush",
    "sadd", "scard", "sismember", "smembers", "srem",
    "xadd", "zadd", "zrange", "zrangebyscore", "zrem", "zrevrange", "zscore",
)  # fmt: skip
"""What the scripts call."""

OTHER_COMMANDS = (
    "hello", "auth", "ping", "info", "evalsha", "eval",
    "blpop", "hscan", "xrange", "xrevrange", "xread",
)  # fmt: skip
"""What clients and agents say beside them: hello and auth to log in, the others to run scripts, to wait and to read."""

USER, SECRET = "session-user", "a secret of the session"
ACL = (
    "reset", "on", f">{SECRET}", f"~{Keys(SESSION).prefix}*", "-@all",
    *(f"+{command}" for command in (*SCRIPT_COMMANDS, *OTHER_COMMANDS)),
)  # fmt: skip
"""The user of a session, who can do what it needs, to its keys only."""

FORBIDDEN: dict[str, tuple[str, ...]] = {
    "FLUSHALL": ("FLUSHALL",),
    "FLUSHDB": ("FLUSHDB",),
    "KEYS": ("KEYS", "*"),
    "SCAN": ("SCAN", "0"),
    "CONFIG GET": ("CONFIG", "GET", "*"),
    "CONFIG SET": ("CONFIG", "SET", "dir", "."),
    "ACL": ("ACL", "LIST"),
    "SHUTDOWN": ("SHUTDOWN", "NOSAVE"),
    "DEBUG": ("DEBUG", "SLEEP", "0"),
    "MONITOR": ("MONITOR",),
    "CLIENT KILL": ("CLIENT", "KILL", "TYPE", "normal"),
    "REPLICAOF": ("REPLICAOF", "NO", "ONE"),
    "SCRIPT FLUSH": ("SCRIPT", "FLUSH"),
    "PUBLISH": ("PUBLISH", "channel", "text"),
    "GET of a key": ("GET", Keys(SESSION).named("meta")),
    "HGET of another": ("HGET", Keys("s-other").named("meta"), "protocol"),
    "HSET of another": ("HSET", "anything", "field", "value"),
    "BLPOP of another": ("BLPOP", Keys("s-other").door("p-aaaaaaaa"), "1"),
    "EVAL with another": ("EVAL", "return redis.call('HSET', KEYS[1], 'a', 'b')", "1", "anything"),
    "EVAL with what it hides": ("EVAL", "return redis.call('HSET', 'anything', 'a', 'b')", "0"),
    "EVAL with FLUSHALL": ("EVAL", "return redis.call('FLUSHALL')", "0"),
}

DENIED = "NoPermission|ACL failure|can't run this command|can't access|DEBUG command not allowed"
"""Words of the servers for it."""


@pytest.fixture
def restricted(link: ServerLink, socket: str) -> Iterator[ServerLink]:
    """A connection with the rights of a session's user."""
    link.client.execute_command("ACL", "SETUSER", USER, *ACL, "+script|load")  # which only these tests say
    restricted = ServerLink(socket, username=USER, password=SECRET)
    yield restricted
    restricted.client.close()
    link.client.execute_command("ACL", "DELUSER", USER)


def live_through(session: ScriptedSession) -> None:
    """Let a session see everything that it can: each script, and each way through it that calls something else."""
    pilot, other = session.pilot(), session.pilot("p-bbbbbbbb")
    pilot.claim(1)
    session.submit(0, 1, 2, retries=1)
    session.submit(3, after=(0, 1))
    session.submit(4, into=queue(owner=other.name))
    session.link.client.blpop([session.keys.door(pilot.name)], 1)
    assert pilot.claim(3) == [0, 1, 2]
    assert session.cancel(2) == "4"
    pilot.seen = pilot.beat().controls[-1][0]
    pilot.beat()
    pilot.report((0, 1, "R"), (1, 1, "E"), (2, 1, "C"))
    session.restart_server("second")
    pilot.sync((0, 1))
    other.sync()
    pilot.claim(1)
    pilot.report((0, 1, "D"), (1, 2, "F"))
    other.end()
    session.pass_lease(pilot)
    session.sweep()
    session.client.hset(session.keys.named("meta"), "renewed", 1)
    session.run(pilot_ops.attach(session.keys, SERVICE, OWNER, attached=False))
    read_everything(session)
    data = ScriptedData(session)
    data.say_everything()
    data.read_everything()
    assert session.letters(0, 1, 2, 3, 4) == "DFCCC"
    assert session.run(pilot_ops.purge(session.keys)) > 5


def read_everything(session: ScriptedSession) -> None:
    """Say every read of the protocol, and what the client asks beside them."""
    keys, ids = session.keys, [unit_id(0)]
    of_units: tuple[Callable[[Keys, list[str]], Query[Any]], ...] = (
        reads.units, reads.descriptions, reads.results, reads.reasons, reads.open_predecessors, reads.templates,
    )  # fmt: skip
    for read in of_units:
        session.link.query(read(keys, ids))
    of_all: tuple[Callable[[Keys], Query[Any]], ...] = (
        reads.counts, reads.groups, reads.pilots, reads.attachments, reads.protocol, reads.first_event, reads.last_event,
    )  # fmt: skip
    for read_all in of_all:
        session.link.query(read_all(keys))
    session.link.query(reads.pilot(keys, "p-aaaaaaaa"))
    assert session.events()
    session.client.zscore(keys.named("leases"), "p-aaaaaaaa")
    session.client.ping()


def test_the_whole_protocol_needs_no_other_right(restricted: ServerLink, link: ServerLink) -> None:
    live_through(ScriptedSession(restricted))
    assert link.client.keys("*") == []


def test_without_its_digest_a_script_is_said_in_full(restricted: ServerLink) -> None:
    keys = Keys(SESSION)
    operation = pilot_ops.open_session(keys, "1.0", LEASE_MS)
    source = restricted.scripts[operation.script].source
    words = (1, keys.prefix, restricted.boot, *operation.arguments)
    assert operation.parse(restricted.client.execute_command("EVAL", source, *words)).protocol == "1.0"


def test_no_right_is_given_that_nothing_needs() -> None:
    sources = (Path(pilot_protocol.__file__).parent / "lua").rglob("*.lua")
    text = "".join(source.read_text("utf-8") for source in sources)
    called = re.findall(r"\b(?:read|write|write_all|redis\.p?call)\('([A-Z]+)'", text)
    assert {command.lower() for command in called} == set(SCRIPT_COMMANDS)


@pytest.mark.parametrize("command", FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_the_rest_is_denied(restricted: ServerLink, link: ServerLink, command: tuple[str, ...]) -> None:
    ScriptedSession(restricted)
    before = sorted(link.client.keys("*"))
    with pytest.raises(redis.ResponseError) as refused:
        restricted.client.execute_command(*command)
    assert re.search(DENIED, f"{type(refused.value).__name__} {refused.value}"), refused.value
    assert sorted(link.client.keys("*")) == before


def test_scripts_do_not_reach_other_sessions(restricted: ServerLink, link: ServerLink) -> None:
    with pytest.raises(redis.ResponseError):
        restricted.run(pilot_ops.open_session(Keys("s-other"), "1.0", LEASE_MS))
    with pytest.raises(redis.ResponseError):
        restricted.run(pilot_ops.purge(Keys("s-other")))
    assert link.client.keys("*") == []


@pytest.fixture
def full(session: ScriptedSession) -> Iterator[ScriptedPilot]:
    """A pilot that runs units 0 to 2 on a server whose memory has become full; 3 waits for 0, and 4 is ready."""
    session.submit(0, 1, 2)
    session.submit(3, after=(0,))
    session.submit(4, into=queue(priority=-1))
    pilot = session.pilot()
    pilot.claim(3)
    pilot.report((0, 1, "R"))
    session.client.config_set("maxmemory", "1mb")
    yield pilot
    give_memory(session)


def give_memory(session: ScriptedSession) -> None:
    """Let the server have as much as it wants."""
    session.client.config_set("maxmemory", "0")


FULL = "OOM|maxmemory"
"""Servers older than 7.0 put their error into a longer one, which redis-py then does not know as what it is."""


def test_a_full_server_refuses_new_work_whole(full: ScriptedPilot) -> None:
    session = full.session
    operations: tuple[Operation[Any], ...] = (
        pilot_ops.create_pilot(session.keys, "p-bbbbbbbb", SERVICE, b""),
        pilot_ops.open_session(Keys("s-other"), "1.0", LEASE_MS),
    )
    for operation in operations:
        with pytest.raises(redis.ResponseError, match=FULL):
            session.run(operation)
    with pytest.raises(redis.ResponseError, match=FULL):
        session.submit(5)
    give_memory(session)
    assert session.submit(5).added == 1


def test_a_full_server_lets_what_runs_end(full: ScriptedPilot) -> None:
    session = full.session
    assert not full.beat().must_sync
    assert full.report((0, 1, "D"), (1, 1, "U"), result=b"result" * 100) == "11"
    assert session.cancel(2, 3) == "41"
    assert [order for _, order in full.beat().controls] == [b"cancel 2"]
    assert full.register("second start").epoch == full.epoch
    assert full.sync((2, 1)) == ()
    session.run(pilot_ops.control(session.keys, full.name, b"stop"))
    assert full.end(epoch="") == 1
    assert session.letters(0, 1, 2, 3, 4) == "DNCCN"
    assert session.link.query(reads.results(session.keys, [unit_id(0)])) == [b"result" * 100]


def test_a_full_server_comes_back_and_can_be_left(full: ScriptedPilot) -> None:
    session = full.session
    session.restart_server("second", wait=True)
    assert full.beat().must_sync
    assert full.sync((0, 1)) == ()
    assert full.end() == 1
    assert session.run(pilot_ops.purge(session.keys)) > 5
    assert session.client.keys("*") == []


def test_what_was_ready_is_claimed_whole(full: ScriptedPilot) -> None:
    assert full.claim(1) == [4]
    assert full.claim(1, again=True) == [4]
    assert full.report((4, 1, "D")) == "1"


def test_a_full_server_refuses_new_data_and_lets_what_moves_end(session: ScriptedSession) -> None:
    data = ScriptedData(session)
    data.declare()
    data.put(FileRecord("a", 40))
    data.want()
    session.client.config_set("maxmemory", "1mb")
    refused: tuple[Operation[Any], ...] = (
        data_ops.declare_pilot_data(data.keys, "pd-bbbbbbbb", b""),
        data_ops.declare_data_unit(data.keys, "du-bbbbbbbb", b"", 1),
        data_ops.put_files(data.keys, "du-aaaaaaaa", [(FileRecord("b", 1), b"")]),
        data_ops.ask_replica(data.keys, "du-aaaaaaaa", "pd-bbbbbbbb"),
    )
    for operation in refused:
        with pytest.raises(redis.ResponseError, match=FULL):
            session.run(operation)
    assert data.claim().verdict == "granted"
    assert data.renew(1) == 1
    assert data.settle("D", 40) == 1
    assert data.remove("a") == 1
    assert session.run(data_ops.forget_replica(data.keys, "du-aaaaaaaa", "pd-aaaaaaaa")) == 1
    assert session.run(data_ops.end_data_unit(data.keys, "du-aaaaaaaa", "Canceled", "")) == 1
    assert session.run(data_ops.end_pilot_data(data.keys, "pd-aaaaaaaa", "Canceled", "")) == 1
    give_memory(session)
