"""Values that somebody has spoilt: no script fails on one, and the other units go on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from pilot_protocol import pilot_ops, reads
from pilot_protocol.errors import CoordinationError
from pilot_protocol.keys import Keys
from pilot_protocol.operation import Query
from scripted_session import LEASE_MS, SERVICE, ScriptedPilot, ScriptedSession, ServerLink, queue, unit_id
from session_invariants import check_session

GARBAGE = (
    b"",
    b"\x00 \xff\xfe|%s%d:/,",
    random.Random(5).randbytes(60),
    b"nan",
    b"inf",
    b"-1",
    b"9" * 40,
    b"999999999999999",
    b"c c:c r 1:",
    b"N|1||0|0|no queue|0",
    b"R|1|p-aaaaaaaa|0|0|cds-aaaaaaaa/,/1.1.0.0/|0",
    b"p-aaaaaaaa/,/9999999999999999999999.1.0.0/0",
)
RUNNING, CLAIMED, READY, WAITING, BYSTANDER, LATER = range(6)
PLACES = {
    **{f"units {number}": ("HSET", "units", unit_id(number)) for number in (RUNNING, CLAIMED, READY, WAITING)},
    "descriptions": ("HSET", "descriptions", unit_id(READY)),
    "successors": ("HSET", "successors", unit_id(RUNNING)),
    "successors of none": ("HSET", "successors", "\xff"),
    "open_predecessors": ("HSET", "open_predecessors", unit_id(WAITING)),
    "cancels": ("HSET", "cancels", unit_id(CLAIMED)),
    "counts": ("HSET", "counts", "abcdef|N"),
    "groups": ("HSET", "groups", "zzzzzz"),
    "attachments": ("HSET", "attachments", "pcs-bbbbbbbb"),
    "queue, first": ("LPUSH", f"queue:{queue()}"),
    "queue, last": ("RPUSH", f"queue:{queue()}"),
    "held": ("SADD", "held:p-aaaaaaaa"),
    "claim, first": ("LPUSH", "claim:p-aaaaaaaa"),
    "claim, last": ("RPUSH", "claim:p-aaaaaaaa"),
    "control, first": ("LPUSH", "control:p-aaaaaaaa"),
    "control, last": ("RPUSH", "control:p-aaaaaaaa"),
    "door": ("RPUSH", "door:p-aaaaaaaa"),
    "releases": ("RPUSH", "releases"),
    "abandoned": ("SADD", "abandoned"),
    "absent": ("SADD", "absent"),
    "leases": ("ZADD", "leases", "1"),
    "ready": ("ZADD", "ready:cds-aaaaaaaa", "7"),
    "hungry": ("ZADD", "hungry:cds-aaaaaaaa", "7"),
    "pilots": ("HSET", "pilots", "p-aaaaaaaa"),
    **{
        f"meta {field}": ("HSET", "meta", field)
        for field in ("protocol", "boot", "lease", "created", "renewed", "sequence", "barrier", "barrier_least")
    },
    **{
        f"pilot {field}": ("HSET", "pilot:p-aaaaaaaa", field)
        for field in ("state", "epoch", "instance", "cores", "node_cores", "gpus", "memory_mb", "label", "service")
    },
    "pilot control_sequence": ("HSET", "pilot:p-aaaaaaaa", "control_sequence"),
}  # fmt: skip


Spoil = Callable[[str, str], Iterator[ScriptedPilot]]
"""Yields a pilot per spoilt value of a field of a key."""


@dataclass(frozen=True)
class Scene:
    """A session in which much is going on."""

    session: ScriptedSession
    pilot: ScriptedPilot

    @classmethod
    def build(cls, link: ServerLink) -> Scene:
        """Start one on an empty server."""
        link.client.flushall()
        session = ScriptedSession(link)
        pilot = session.pilot()
        session.submit(RUNNING, CLAIMED, max_restarts=9)
        session.submit(READY)
        session.submit(WAITING, after=(RUNNING,))
        session.submit(BYSTANDER, into=queue(priority=-1))
        pilot.claim(2)
        pilot.report((RUNNING, 1, "R"))
        session.cancel(CLAIMED)
        return cls(session, pilot)

    def spoil(self, place: tuple[str, ...], value: bytes) -> None:
        """Put a value into a place."""
        command, name, *rest = place
        self.session.client.execute_command(command, self.session.keys.named(name), *rest, value)

    def say_everything(self) -> None:
        """Run every script; the protocol's own refusals are fine."""
        session, pilot, keys = self.session, self.pilot, self.session.keys
        sayings: tuple[Callable[[], Any], ...] = (
            pilot.beat,
            lambda: pilot.ask(2, again=True),
            lambda: pilot.ask(2, reserve=True),
            lambda: session.run(pilot_ops.control(keys, pilot.name, b"order")),
            lambda: pilot.report((RUNNING, 1, "D"), (CLAIMED, 1, "E"), (READY, 1, "U")),
            lambda: session.cancel(READY, WAITING),
            lambda: session.submit(LATER, after=(READY, RUNNING), run_after_failure=True),
            lambda: pilot.sync((CLAIMED, 1)),
            lambda: session.restart_server("another run"),
            lambda: session.run(pilot_ops.attach(keys, "pcs-bbbbbbbb", "cds-bbbbbbbb")),
            lambda: session.run(pilot_ops.create_pilot(keys, pilot.name, SERVICE, b"")),
            lambda: session.run(pilot_ops.open_session(keys, "1.0", LEASE_MS)),
            lambda: pilot.register("another start"),
            pilot.beat,
            lambda: session.pass_lease(pilot),
            lambda: session.client.hset(keys.named("meta"), "barrier", 1),
            session.sweep,
            lambda: pilot.end(epoch=""),
        )
        for say in sayings:
            try:
                say()
            except CoordinationError:
                continue

    def read_everything(self) -> None:
        """Read what the client and the command line read."""
        keys, ids = self.session.keys, [unit_id(number) for number in range(6)]
        of_units: tuple[Callable[[Keys, list[str]], Query[list[Any]]], ...] = (
            reads.units, reads.descriptions, reads.results, reads.reasons, reads.open_predecessors,
        )  # fmt: skip
        of_all: tuple[Callable[[Keys], Query[Any]], ...] = (
            reads.counts, reads.groups, reads.pilots, reads.attachments, reads.protocol,
        )  # fmt: skip
        for read in of_units:
            assert len(self.session.link.query(read(keys, ids))) == len(ids)
        for read_all in of_all:
            self.session.link.query(read_all(keys))
        assert self.session.link.query(reads.pilot(keys, self.pilot.name))
        assert self.session.events()


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_the_others_go_on(link: ServerLink, place: tuple[str, ...]) -> None:
    boot = link.boot
    for value in GARBAGE:
        link.boot = boot
        scene = Scene.build(link)
        scene.spoil(place, value)
        scene.read_everything()
        scene.say_everything()
        scene.read_everything()
        other = scene.session.pilot("p-bbbbbbbb", cores=9)
        assert BYSTANDER in other.claim(9), value
        assert other.report((BYSTANDER, scene.session.record(BYSTANDER).attempt, "D")) == "1", value
        assert scene.session.run(pilot_ops.purge(scene.session.keys)) > 1, value
        assert link.client.keys("*") == [], value


@pytest.fixture
def spoilt(link: ServerLink) -> Spoil:
    """Sessions with one pilot and one spoilt field each; they are consistent when they have been used."""

    def spoil(key: str, field: str) -> Iterator[ScriptedPilot]:
        for round_number, value in enumerate(GARBAGE):
            link.client.flushall()
            link.boot = f"run {round_number}"
            session = ScriptedSession(link)
            pilot = session.pilot()
            session.client.hset(session.keys.named(key), field, value)
            yield pilot
            check_session(session)

    return spoil


def test_orders_arrive_although_their_number_was_spoilt(spoilt: Spoil) -> None:
    for pilot in spoilt("pilot:p-aaaaaaaa", "control_sequence"):
        pilot.session.run(pilot_ops.control(pilot.session.keys, pilot.name, b"order"))
        assert [order for _, order in pilot.beat().controls] == [b"order"]


def test_an_agent_takes_up_a_pilot_whose_epoch_was_spoilt(spoilt: Spoil) -> None:
    for pilot in spoilt("pilot:p-aaaaaaaa", "epoch"):
        pilot.register("second start")
        assert pilot.epoch.isdigit()
        pilot.session.submit(0)
        assert pilot.claim(1) == [0]


@pytest.mark.parametrize("field", ["lease", "renewed", "created", "sequence", "barrier", "barrier_least"])
def test_a_session_survives_a_restart_with_a_spoilt_field(spoilt: Spoil, field: str) -> None:
    for pilot in spoilt("meta", field):
        pilot.session.restart_server("another run")
        pilot.sync()
        pilot.session.submit(0)
        opened = pilot.session.run(pilot_ops.open_session(pilot.session.keys, "1.0", LEASE_MS))
        assert opened.lease_ms > 0
        assert pilot.claim(1) == [0]


def test_a_unit_whose_queue_was_spoilt_is_rejected_when_it_comes_back(session: ScriptedSession) -> None:
    session.submit(0, 1)
    pilot = session.pilot()
    pilot.claim(2)
    session.client.hset(session.keys.named("units"), unit_id(0), f"A|1|{pilot.name}|0|0|nowhere|0")
    assert pilot.report((0, 1, "U"), (1, 1, "U")) == "11"
    assert session.letters(0, 1) == "FN"
    assert session.reason(0) == "rejected"
