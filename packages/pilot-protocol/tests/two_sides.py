"""A server and the session in memory, to which everything is said alike, and what must hold of both."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pilot_protocol import data_ops, pilot_ops, reads, unit_ops
from pilot_protocol.errors import CoordinationError
from pilot_protocol.operation import Operation
from pilot_protocol.testing import MemorySession
from scripted_session import LEASE_MS, OWNER, SERVICE, ScriptedSession, ServerLink
from session_invariants import check_session

T = TypeVar("T")
Make = Callable[[int], Operation[T]]
"""Makes an operation for the server (0) or the session in memory (1): epochs differ."""

OTHER_OWNER, OTHER_SERVICE = "cds-bbbbbbbb", "pcs-bbbbbbbb"
SIZES: tuple[dict[str, Any], ...] = (
    {"cores": 1, "node_cores": 1, "label": ",", "service": SERVICE},
    {"cores": 4, "node_cores": 4, "label": ",here", "service": SERVICE},
    {"cores": 8, "node_cores": 8, "label": ",", "service": OTHER_SERVICE, "gpus": 2},
)


@dataclass
class Agent:
    """What an agent knows; epochs and numbers of orders once per side."""

    name: str
    size: dict[str, Any]
    epochs: tuple[str, str] = ("none", "none")
    seen: tuple[int, int] = (0, 0)
    number: int = 0
    leased: dict[str, int] = field(default_factory=dict)
    """The attempt that it had last of each unit."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that a server may come back with."""

    memory: MemorySession
    keys: dict[bytes, tuple[int, bytes]]


class TwoSides:
    """One open session, on an emptied server and in memory.

    Args:
        link: To the server.
    """

    def __init__(self, link: ServerLink) -> None:
        link.client.flushall()
        link.boot = "boot 0"
        self.boots = 0
        self.link = link
        self.session = ScriptedSession(link)
        self.keys = self.session.keys
        self.memory = MemorySession()
        self.memory.run(pilot_ops.open_session(self.keys, "1.0", LEASE_MS))
        self.memory.run(pilot_ops.attach(self.keys, SERVICE, OWNER))
        self._spoken = 0
        self.awake: set[str] = set()
        """Pilots that will claim before they sleep."""
        self._attempts: dict[str, int] = {}
        self._ended: dict[str, str] = {}

    def both(self, make: Make[T], *, is_repeatable: bool = True) -> tuple[T, T] | None:
        """Say something to both; returns their answers, None when they refuse.

        Every third reply is lost: the same is said again, is answered, and has changed nothing.
        """
        answers = self._both(make)
        self._spoken += 1
        if is_repeatable and self._spoken % 3 == 0:
            before = copy.deepcopy(self.memory.book.units)
            answers = self._both(make)
            assert self.memory.book.units == before
        return answers

    def _both(self, make: Make[T]) -> tuple[T, T] | None:
        server, memory = answer(self.link.run, make(0)), answer(self.memory.run, make(1))
        assert comparable(server) == comparable(memory), make(0).script
        if isinstance(server, CoordinationError) or isinstance(memory, CoordinationError):
            return None
        return server, memory

    def has_ended(self, agent: Agent) -> bool:
        """Tell whether an agent's pilot has."""
        return agent.name in self.memory.pilots and self.memory.pilots[agent.name].has_ended

    # --- agents

    def announce(self, agent: Agent) -> None:
        """Announce its pilot."""
        self.both(lambda _: pilot_ops.create_pilot(self.keys, agent.name, agent.size["service"], b""))

    def register(self, agent: Agent, instance: str = "x") -> None:
        """Let an agent take up its pilot."""
        answers = self.both(
            lambda _: pilot_ops.register(self.keys, agent.name, instance, LEASE_MS, agent.size)
        )
        if answers:
            agent.epochs = answers[0].epoch, answers[1].epoch
            self.awake.add(agent.name)

    def sync(self, agent: Agent, held: Sequence[tuple[str, int]]) -> None:
        """Let it tell what it holds."""
        answers = self.both(
            lambda side: pilot_ops.sync(self.keys, agent.name, agent.epochs[side], LEASE_MS, held)
        )
        if answers:
            agent.leased = {unit: attempt for unit, attempt in held if unit not in answers[0]}
            self.awake.add(agent.name)

    def claim(self, agent: Agent, units: int, cores: int, *, reserve: bool) -> None:
        """Let it claim."""
        agent.number += 1
        number, seen = agent.number, agent.seen

        def make(side: int) -> Operation[unit_ops.Claimed]:
            request = unit_ops.ClaimRequest(
                agent.name, agent.epochs[side], number, units, cores, reserve, seen[side]
            )
            return unit_ops.claim(self.keys, request)

        answers = self.both(make)
        if answers:
            agent.leased.update((unit.id, unit.attempt) for unit in answers[0].units)
            self.awake.discard(agent.name)

    def report(self, agent: Agent, told: Sequence[unit_ops.UnitReport]) -> None:
        """Let it report."""
        self.both(lambda side: unit_ops.report(self.keys, agent.name, agent.epochs[side], told))

    def beat(self, agent: Agent, *, has_heard: bool) -> None:
        """Let it renew its lease; it may hear the orders that come back."""
        answers = self.both(
            lambda side: pilot_ops.beat(
                self.keys, agent.name, agent.epochs[side], LEASE_MS, agent.seen[side], {}
            )
        )
        if answers and has_heard and answers[0].controls:
            agent.seen = answers[0].controls[-1][0], answers[1].controls[-1][0]

    def end(self, agent: Agent, state: str, *, by_agent: bool) -> None:
        """Let it, or a client, end its pilot."""
        epochs = agent.epochs if by_agent else ("", "")
        how = pilot_ops.PilotEnd(state, "asked")
        self.both(lambda side: pilot_ops.end(self.keys, agent.name, epochs[side], how))

    # --- misfortunes

    def pass_lease(self, agent: Agent) -> None:
        """Time passes."""
        if agent.name in self.memory.pilots:
            self.memory.pass_lease(agent.name)
        self.link.client.zadd(self.keys.named("leases"), {agent.name: 1}, xx=True)

    def take_bell(self, agent: Agent) -> None:
        """The agent hears it, or its connection breaks: either way it claims next."""
        if self.link.client.delete(self.keys.door(agent.name)):
            self.awake.add(agent.name)

    def is_rung(self, agent: Agent) -> bool:
        """Tell whether an agent's bell rings for work."""
        return b"work" in self.link.client.lrange(self.keys.door(agent.name), 0, -1)

    def snapshot(self) -> Snapshot:
        """Return what the server may come back with."""
        client: Any = self.link.client
        contents = {name: (client.pttl(name), client.dump(name)) for name in client.keys("*")}
        return Snapshot(copy.deepcopy(self.memory), contents)

    def restart(self, lost_since: Snapshot | None, agents: Sequence[Agent]) -> None:
        """The server comes back as it was, or as it was some time ago; all agents come back to it."""
        if lost_since is not None:
            self._roll_back(lost_since)
        self.boots += 1
        self.memory.restart_server()
        self.session.restart_server(f"boot {self.boots}")
        self.awake.update(agent.name for agent in agents)

    def _roll_back(self, snapshot: Snapshot) -> None:
        client: Any = self.link.client
        then = client.time()
        while client.time()[1] // 1000 == then[1] // 1000:
            continue  # no server comes back within a millisecond: epochs are its milliseconds
        self.memory = copy.deepcopy(snapshot.memory)
        client.flushall()
        for name, (life, content) in snapshot.keys.items():
            client.restore(name, life, content)
        self._attempts, self._ended = {}, {}

    # --- what holds

    def check(self) -> None:
        """Both have the same units and pilots; what is in Redis is consistent; nothing moves back."""
        self._check_units()
        self._check_data()
        for name, pilot in self.memory.pilots.items():
            record = self.link.query(reads.pilot(self.keys, name))
            assert record.get("state", b"").decode() == pilot.state, name
        check_session(self.session, self.awake)

    def _check_data(self) -> None:
        for name in self.memory.book.data.units:
            read = data_ops.read_data_unit(self.keys, name)
            assert self.link.run(read) == self.memory.run(read), name
        book = self.memory.book.units
        texts = self.link.client.hgetall(self.keys.named("placements"))
        placed = {name: unit.placement for name, unit in book.items() if unit.placement}
        assert {name.decode(): text.decode() for name, text in texts.items()} == placed

    def _check_units(self) -> None:
        book = self.memory.book.units
        if not book:
            return
        records = self.link.query(reads.units(self.keys, list(book)))
        for (name, u), r in zip(book.items(), records):
            assert r is not None
            assert (u.letter, u.attempt, u.pilot) == (r.letter, r.attempt, r.pilot), name
            assert (u.retries, u.restarts, u.queue) == (r.retries_left, r.restarts_left, r.queue), name
            assert u.attempt >= self._attempts.get(name, 0), name
            assert u.letter == self._ended.get(name, u.letter), name
            self._attempts[name] = u.attempt
            if u.is_final:
                self._ended[name] = u.letter
        results = self.link.query(reads.results(self.keys, list(book)))
        assert results == [u.result or None for u in book.values()]


def answer(run: Callable[[Operation[T]], T], operation: Operation[T]) -> T | CoordinationError:
    """Return what is answered, a refusal too."""
    try:
        return run(operation)
    except CoordinationError as refusal:
        return refusal


def comparable(reply: Any) -> Any:
    """Return what both sides must have in common: times, epochs and numbers of orders are their own."""
    if isinstance(reply, CoordinationError):
        return type(reply)
    if isinstance(reply, pilot_ops.Registered):
        return reply.protocol
    if isinstance(reply, pilot_ops.Beaten):
        return reply.must_sync, [order for _, order in reply.controls]
    if isinstance(reply, unit_ops.Claimed):
        return reply.units, [order for _, order in reply.controls]
    if isinstance(reply, unit_ops.Reported):
        return reply.current, reply.outcomes
    return reply
