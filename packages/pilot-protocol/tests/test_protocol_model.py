"""Whatever is said in whatever order: real servers and the session in memory answer alike, and no unit is misplaced."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from pilot_protocol import pilot_ops, reads, unit_ops
from pilot_protocol.errors import CoordinationError
from pilot_protocol.operation import Operation
from pilot_protocol.testing import MemorySession
from redis_servers import running
from scripted_session import LEASE_MS, OWNER, SERVICE, ScriptedSession, ServerLink, queue, unit_id
from session_invariants import check_session

T = TypeVar("T")

NAMES = ("p-aaaaaaaa", "p-bbbbbbbb", "p-cccccccc")
OTHER_OWNER, OTHER_SERVICE = "cds-bbbbbbbb", "pcs-bbbbbbbb"
SHAPES = {
    "p-aaaaaaaa": {"cores": 1, "node_cores": 1, "label": ",", "service": SERVICE},
    "p-bbbbbbbb": {"cores": 4, "node_cores": 4, "label": ",here", "service": SERVICE},
    "p-cccccccc": {"cores": 8, "node_cores": 8, "gpus": 2, "label": ",", "service": OTHER_SERVICE},
}
QUEUES = (
    queue(),
    queue(2),
    queue(priority=1),
    queue(label="here"),
    queue(gpus=1),
    queue(3, owner=OTHER_OWNER),
    queue(owner="p-aaaaaaaa"),
)
pilots = st.sampled_from(NAMES)
numbers = st.integers(0, 11)
Asked = tuple[int, int, bool]


@dataclass
class Agent:
    """What an agent knows, per side where the sides name things differently."""

    name: str
    epochs: list[str] = field(default_factory=lambda: ["none", "none"])
    seen: list[int] = field(default_factory=lambda: [0, 0])
    number: int = 0
    asked: Asked = (1, 1, False)
    attempts: dict[str, int] = field(default_factory=dict)
    """The last attempt that it leased of each unit."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that a server may come back with."""

    memory: MemorySession
    keys: dict[bytes, tuple[int, bytes]]


class ProtocolMachine(RuleBasedStateMachine):
    """Says everything twice: to a server and to the session in memory."""

    link: ServerLink

    def __init__(self) -> None:
        super().__init__()
        self.link.client.flushall()
        self.boots = 0
        self.link.boot = "boot 0"
        self.session = ScriptedSession(self.link)
        self.memory = MemorySession()
        self.memory.run(pilot_ops.open_session(self.session.keys, "1.0", LEASE_MS))
        self.memory.run(pilot_ops.attach(self.session.keys, SERVICE, OWNER))
        self.agents = {name: Agent(name) for name in NAMES}
        self.awake: set[str] = set()
        self.snapshots: list[Snapshot] = []
        self.attempts: dict[str, int] = {}
        self.ended: dict[str, str] = {}

    # --- both sides

    def both(self, make: Callable[[int], Operation[T]]) -> T | None:
        """Say something to both sides, compare the answers and return the server's; None when it is refused."""
        answers = [self.answer(run, make(side)) for side, run in enumerate((self.link.run, self.memory.run))]
        assert comparable(answers[0]) == comparable(answers[1])
        return None if isinstance(answers[0], CoordinationError) else answers[0]

    @staticmethod
    def answer(run: Callable[[Operation[T]], T], operation: Operation[T]) -> Any:
        try:
            return run(operation)
        except CoordinationError as refused:
            return refused

    # --- clients

    @rule(first=numbers, count=st.integers(1, 3), into=st.sampled_from(QUEUES), after=st.lists(numbers, max_size=2),
          wishes=st.tuples(st.integers(0, 1), st.integers(0, 1), st.booleans()))
    def submit(self, first: int, count: int, into: str, after: list[int], wishes: tuple[int, int, bool]) -> None:
        units = [
            unit_ops.NewUnit(unit_id(number), into, b"%d" % number, wishes[0], wishes[1], [unit_id(n) for n in after], wishes[2])
            for number in range(first, first + count)
        ]
        owner = into.split("/", 1)[0]
        self.both(lambda _: unit_ops.submit(self.session.keys, "abcdef", owner, units, {}))

    @rule(chosen=st.lists(numbers, min_size=1, max_size=3))
    def cancel(self, chosen: list[int]) -> None:
        self.both(lambda _: unit_ops.cancel(self.session.keys, [(unit_id(number), b"stop") for number in chosen]))

    @rule(service=st.sampled_from((SERVICE, OTHER_SERVICE)), owner=st.sampled_from((OWNER, OTHER_OWNER)), attached=st.booleans())
    def attach(self, service: str, owner: str, attached: bool) -> None:
        self.both(lambda _: pilot_ops.attach(self.session.keys, service, owner, attached=attached))

    @rule()
    def sweep(self) -> None:
        self.both(lambda _: pilot_ops.sweep(self.session.keys))

    @rule(name=pilots)
    def control(self, name: str) -> None:
        self.both(lambda _: pilot_ops.control(self.session.keys, name, b"order"))

    # --- agents

    @initialize()
    def create(self) -> None:
        for name in NAMES:
            service = str(SHAPES[name]["service"])
            self.both(lambda _, name=name, service=service: pilot_ops.create_pilot(self.session.keys, name, service, b""))

    @rule(name=pilots, instance=st.sampled_from("xyz"))
    def register(self, name: str, instance: str) -> None:
        agent = self.agents[name]
        epochs = list(agent.epochs)

        def make(side: int) -> Operation[pilot_ops.Registered]:
            operation = pilot_ops.register(self.session.keys, name, instance, LEASE_MS, SHAPES[name])
            return Operation(operation.script, operation.prefix, operation.arguments, lambda reply: learn(side, operation.parse(reply)))

        def learn(side: int, reply: pilot_ops.Registered) -> pilot_ops.Registered:
            epochs[side] = reply.epoch
            return reply

        if self.both(make):
            agent.epochs = epochs
            self.awake.add(name)

    @rule(name=pilots, held=st.lists(st.tuples(numbers, st.integers(1, 3)), max_size=2), forgotten=st.lists(numbers))
    def sync(self, name: str, held: list[tuple[int, int]], forgotten: list[int]) -> None:
        agent = self.agents[name]
        told = {**agent.attempts, **{unit_id(number): attempt for number, attempt in held}}
        for number in forgotten:
            told.pop(unit_id(number), None)
        drop = self.both(lambda side: pilot_ops.sync(self.session.keys, name, agent.epochs[side], LEASE_MS, list(told.items())))
        if drop is not None:
            agent.attempts = {unit: attempt for unit, attempt in told.items() if unit not in drop}
            self.awake.add(name)

    @rule(name=pilots, units=st.integers(0, 5), cores=st.integers(0, 9), reserve=st.booleans())
    def claim(self, name: str, units: int, cores: int, reserve: bool) -> None:
        self.agents[name].number += 1
        self.agents[name].asked = (units, cores, reserve)
        self.claim_again(name)

    @rule(name=pilots)
    def claim_again(self, name: str) -> None:
        agent = self.agents[name]
        reply = self.both(
            lambda side: unit_ops.claim(
                self.session.keys,
                unit_ops.ClaimRequest(name, agent.epochs[side], agent.number, *agent.asked, agent.seen[side]),
            )
        )
        if reply is not None:
            agent.attempts.update((unit.id, unit.attempt) for unit in reply.units)
            self.awake.discard(name)

    @rule(name=pilots, items=st.lists(st.tuples(numbers, st.sampled_from("RRDDSFCELU"), st.sampled_from((0, 0, 0, -1, 1))), max_size=3))
    def report(self, name: str, items: list[tuple[int, str, int]]) -> None:
        agent = self.agents[name]
        told = [
            unit_ops.UnitReport(unit_id(number), agent.attempts.get(unit_id(number), 1) + shift, letter, letter.encode())
            for number, letter, shift in items
        ]
        self.both(lambda side: unit_ops.report(self.session.keys, name, agent.epochs[side], told))

    @rule(name=pilots, has_seen=st.booleans())
    def beat(self, name: str, has_seen: bool) -> None:
        agent = self.agents[name]
        seen = list(agent.seen)

        def make(side: int) -> Operation[pilot_ops.Beaten]:
            operation = pilot_ops.beat(self.session.keys, name, agent.epochs[side], LEASE_MS, agent.seen[side], {})
            return Operation(operation.script, operation.prefix, operation.arguments, lambda reply: learn(side, operation.parse(reply)))

        def learn(side: int, reply: pilot_ops.Beaten) -> pilot_ops.Beaten:
            seen[side] = max([seen[side], *(number for number, _ in reply.controls)])
            return reply

        if self.both(make) and has_seen:
            agent.seen = seen

    @rule(name=pilots, knows=st.booleans(), state=st.sampled_from(("Done", "Failed", "Canceled")))
    def end(self, name: str, knows: bool, state: str) -> None:
        epochs = self.agents[name].epochs if knows else ["", ""]
        self.both(lambda side: pilot_ops.end(self.session.keys, name, epochs[side], pilot_ops.PilotEnd(state, "asked")))

    # --- misfortunes

    @rule(name=pilots)
    def pass_lease(self, name: str) -> None:
        self.memory.pass_lease(name)
        self.link.client.zadd(self.session.keys.named("leases"), {name: 1}, xx=True)

    @rule(name=pilots)
    def lose_bell(self, name: str) -> None:
        """The agent hears it, or its connection breaks: either way it claims next."""
        if self.link.client.delete(self.session.keys.door(name)):
            self.awake.add(name)

    @rule()
    def take_snapshot(self) -> None:
        client = self.link.client
        names: Any = client.keys("*")
        self.snapshots = [Snapshot(copy.deepcopy(self.memory), {name: (client.pttl(name), client.dump(name)) for name in names})]

    @precondition(lambda self: self.snapshots)
    @rule(is_older=st.booleans())
    def restart_server(self, is_older: bool) -> None:
        """It comes back as it was, or as it was some time ago."""
        if is_older:
            self.roll_back(self.snapshots[0])
        self.boots += 1
        self.memory.restart_server()
        self.session.restart_server(f"boot {self.boots}")
        self.awake.update(NAMES)

    def roll_back(self, snapshot: Snapshot) -> None:
        client = self.link.client
        self.memory = copy.deepcopy(snapshot.memory)
        client.flushall()
        for name, (life, content) in snapshot.keys.items():
            client.restore(name, life, content)
        self.attempts, self.ended = {}, {}
        then = client.time()
        while client.time()[1] // 1000 == then[1] // 1000:
            """No server comes back within the same millisecond."""

    # --- what holds

    @invariant()
    def sides_agree(self) -> None:
        book = self.memory.book.units
        if not book:
            return
        found = self.link.query(reads.units(self.session.keys, list(book)))
        assert {
            name: (u.letter, u.attempt, u.pilot, u.retries, u.restarts, u.queue) for name, u in book.items()
        } == {
            name: (r.letter, r.attempt, r.pilot, r.retries_left, r.restarts_left, r.queue)
            for name, r in zip(book, found) if r is not None
        }
        results = self.link.query(reads.results(self.session.keys, list(book)))
        assert [u.result or None for u in book.values()] == results
        for name, pilot in self.memory.pilots.items():
            assert self.link.query(reads.pilot(self.session.keys, name))["state"].decode() == pilot.state

    @invariant()
    def session_is_consistent(self) -> None:
        check_session(self.session, self.awake)

    @invariant()
    def attempts_grow_and_ends_are_final(self) -> None:
        for name, unit in self.memory.book.units.items():
            assert unit.attempt >= self.attempts.get(name, 0)
            assert unit.letter == self.ended.get(name, unit.letter)
            self.attempts[name] = unit.attempt
            if unit.is_final:
                self.ended[name] = unit.letter


def comparable(answer: Any) -> Any:
    """Return what both sides must have in common: times, epochs and numbers of orders are their own."""
    if isinstance(answer, CoordinationError):
        return type(answer)
    if isinstance(answer, pilot_ops.Registered):
        return answer.protocol
    if isinstance(answer, pilot_ops.Beaten):
        return answer.must_sync, [order for _, order in answer.controls]
    if isinstance(answer, unit_ops.Claimed):
        return answer.units, [order for _, order in answer.controls]
    if isinstance(answer, unit_ops.Reported):
        return answer.current, answer.outcomes
    return answer


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_server_and_memory_answer_alike(socket: str) -> None:
    link = ServerLink(socket)

    class Machine(ProtocolMachine):
        pass

    Machine.link = link
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=int(__import__("os").environ.get("EX","60")), stateful_step_count=40, deadline=None, print_blob=True, database=None,
                          suppress_health_check=list(HealthCheck)),
    )
    link.client.close()
