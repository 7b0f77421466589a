"""Everything that clients, agents and misfortune can do to a session, said to a server and to the session in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pilot_protocol import pilot_ops, reads, unit_ops
from pilot_protocol.errors import CoordinationError
from pilot_protocol.operation import Operation
from pilot_protocol.testing import MemorySession
from scripted_session import LEASE_MS, OWNER, SERVICE, ScriptedSession, ServerLink, queue, unit_id
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
FIRST = "p-aaaaaaa0"
QUEUES = (
    queue(), queue(2), queue(4), queue(priority=1), queue(label="here"), queue(gpus=1),
    queue(owner=OTHER_OWNER), queue(3, owner=OTHER_OWNER), queue(owner=FIRST),
)  # fmt: skip
SERVICES = st.sampled_from((SERVICE, OTHER_SERVICE))
OWNERS = st.sampled_from((OWNER, OTHER_OWNER))
SLOTS = st.integers(0, len(SIZES) - 1)
UNITS = st.integers(0, 40)
LETTERS = st.sampled_from("RRRRDDDSFCEELLU")


@dataclass
class Agent:
    """What an agent knows; epochs and numbers of orders once per side."""

    name: str
    size: dict[str, Any]
    epochs: tuple[str, str] = ("none", "none")
    seen: tuple[int, int] = (0, 0)
    number: int = 0
    asked: tuple[int, int, bool] = (0, 0, False)
    leased: dict[str, int] = field(default_factory=dict)
    """The attempt that it had last of each unit."""


@dataclass(frozen=True)
class Snapshot:
    """Everything that a server may come back with."""

    memory: MemorySession
    keys: dict[bytes, tuple[int, bytes]]


class ProtocolMachine(RuleBasedStateMachine):
    """Two sides that must answer alike. Subclasses name the server."""

    link: ServerLink

    def __init__(self) -> None:
        super().__init__()
        self.link.client.flushall()
        self.boots = 0
        self.link.boot = "boot 0"
        self.session = ScriptedSession(self.link)
        self.keys = self.session.keys
        self.memory = MemorySession()
        self.memory.run(pilot_ops.open_session(self.keys, "1.0", LEASE_MS))
        self.memory.run(pilot_ops.attach(self.keys, SERVICE, OWNER))
        self.agents = [Agent(f"p-aaaaaaa{slot}", size) for slot, size in enumerate(SIZES)]
        self.retired: list[Agent] = []
        self.awake: set[str] = set()
        """Pilots that will claim before they sleep."""
        self.submitted = 0
        """Units have the numbers below this one; a few more that were never submitted are spoken of, too."""
        self.said: Make[Any] | None = None
        self.snapshot: Snapshot | None = None
        self.attempts: dict[str, int] = {}
        self.ended: dict[str, str] = {}

    def both(self, make: Make[T]) -> tuple[T, T] | None:
        """Say something to both sides; returns their answers, None when they refuse."""
        self.said = make
        server, memory = answer(self.link.run, make(0)), answer(self.memory.run, make(1))
        assert comparable(server) == comparable(memory), make(0).script
        return None if isinstance(server, CoordinationError) else (server, memory)

    # --- clients

    @initialize()
    def start(self) -> None:
        """All pilots have come, found nothing and sleep."""
        for slot in range(len(SIZES)):
            self.arrive(slot)
            self.claim(slot, self.agents[slot].size["cores"], self.agents[slot].size["cores"], reserve=False)

    def some(self, numbers: Iterable[int]) -> list[str]:
        """Return the ids of some units, each once."""
        return list(dict.fromkeys(unit_id(number % (self.submitted + 2)) for number in numbers))

    @rule(count=st.integers(1, 4), into=st.sampled_from(QUEUES[:2]), retries=st.integers(0, 1))
    def submit_ready(self, count: int, into: str, retries: int) -> None:
        ids = [unit_id(self.submitted + number) for number in range(count)]
        self.submitted += count
        units = [unit_ops.NewUnit(name, into, b"ready", retries, 1) for name in ids]
        self.both(lambda _: unit_ops.submit(self.keys, "abcdef", OWNER, units, {}))

    @rule(
        numbers=st.lists(UNITS, min_size=1, max_size=4),
        into=st.sampled_from(QUEUES),
        after=st.lists(UNITS, max_size=2),
        again=st.tuples(st.integers(0, 1), st.integers(0, 1)),
        anyway=st.booleans(),
    )
    def submit(
        self, numbers: list[int], into: str, after: list[int], again: tuple[int, int], anyway: bool
    ) -> None:
        predecessors = self.some(after)
        units = [
            unit_ops.NewUnit(name, into, b"any", *again, predecessors, anyway) for name in self.some(numbers)
        ]
        self.both(lambda _: unit_ops.submit(self.keys, "abcdef", into.split("/", 1)[0], units, {}))

    @rule(numbers=st.lists(UNITS, min_size=1, max_size=3))
    def cancel(self, numbers: list[int]) -> None:
        orders = [(name, b"stop") for name in self.some(numbers)]
        self.both(lambda _: unit_ops.cancel(self.keys, orders))

    @rule(service=SERVICES, owner=OWNERS, attached=st.booleans())
    def attach(self, service: str, owner: str, attached: bool) -> None:
        self.both(lambda _: pilot_ops.attach(self.keys, service, owner, attached=attached))

    @rule()
    def sweep(self) -> None:
        self.both(lambda _: pilot_ops.sweep(self.keys))

    @rule(slot=SLOTS)
    def control(self, slot: int) -> None:
        self.both(lambda _: pilot_ops.control(self.keys, self.agents[slot].name, b"order"))
        self.said = None  # who says it again leaves two orders; they are carried out once

    @precondition(lambda self: self.said)
    @rule()
    def say_again(self) -> None:
        """The reply was lost."""
        assert self.said is not None
        before = copy.deepcopy(self.memory.book.units)
        self.both(self.said)
        assert self.memory.book.units == before

    # --- agents

    def arrive(self, slot: int) -> None:
        agent = self.agents[slot]
        self.both(lambda _: pilot_ops.create_pilot(self.keys, agent.name, agent.size["service"], b""))
        self.register(slot, "x")
        self.sync(slot, set())

    @rule(slot=SLOTS)
    def replace(self, slot: int) -> None:
        """The next pilot comes in the place of one that has ended; the agent of that one may live on."""
        old = self.agents[slot]
        if old.name in self.memory.pilots and self.memory.pilots[old.name].has_ended:
            self.retired.append(old)
            self.agents[slot] = Agent(f"p-aaaaaa{len(self.retired)}{slot}", old.size)
            self.arrive(slot)

    @rule(slot=SLOTS, instance=st.sampled_from("xy"))
    def register(self, slot: int, instance: str) -> None:
        agent = self.agents[slot]
        answers = self.both(
            lambda _: pilot_ops.register(self.keys, agent.name, instance, LEASE_MS, agent.size)
        )
        if answers:
            agent.epochs = answers[0].epoch, answers[1].epoch
            self.awake.add(agent.name)

    @rule(slot=SLOTS, forgotten=st.sets(st.integers(0, 3)))
    def sync(self, slot: int, forgotten: set[int]) -> None:
        agent = self.agents[slot]
        held = [item for place, item in enumerate(agent.leased.items()) if place not in forgotten]
        answers = self.both(
            lambda side: pilot_ops.sync(self.keys, agent.name, agent.epochs[side], LEASE_MS, held)
        )
        if answers:
            agent.leased = {unit: attempt for unit, attempt in held if unit not in answers[0]}
            self.awake.add(agent.name)

    @rule(slot=SLOTS, units=st.integers(0, 5), cores=st.integers(0, 9), reserve=st.booleans())
    def claim(self, slot: int, units: int, cores: int, reserve: bool) -> None:
        agent = self.agents[slot]
        agent.number, agent.asked = agent.number + 1, (units, cores, reserve)
        number, asked = agent.number, agent.asked

        def make(side: int) -> Operation[unit_ops.Claimed]:
            request = unit_ops.ClaimRequest(agent.name, agent.epochs[side], number, *asked, agent.seen[side])
            return unit_ops.claim(self.keys, request)

        answers = self.both(make)
        if answers:
            agent.leased.update((unit.id, unit.attempt) for unit in answers[0].units)
            self.awake.discard(agent.name)

    @rule(slot=SLOTS)
    def fill(self, slot: int) -> None:
        """Claim as much as the pilot can hold, and start it."""
        agent = self.agents[slot]
        self.claim(slot, agent.size["cores"], agent.size["cores"], reserve=True)
        self.report(agent, [unit_ops.UnitReport(*item, "R") for item in agent.leased.items()])

    def report(self, agent: Agent, told: list[unit_ops.UnitReport]) -> None:
        self.both(lambda side: unit_ops.report(self.keys, agent.name, agent.epochs[side], told))

    @rule(slot=SLOTS, letters=st.lists(LETTERS, min_size=1, max_size=4))
    def work(self, slot: int, letters: list[str]) -> None:
        """The agent has news of what it leased last."""
        leased = list(self.agents[slot].leased.items())[-len(letters) :]
        told = [unit_ops.UnitReport(*item, letter, letter.encode()) for item, letter in zip(leased, letters)]
        self.report(self.agents[slot], told)

    @rule(slot=SLOTS, number=UNITS, letter=LETTERS, attempt=st.integers(0, 3))
    def report_out_of_place(self, slot: int, number: int, letter: str, attempt: int) -> None:
        """The agent speaks of a unit that another may have, of an old attempt, or of one that the server forgot."""
        self.report(
            self.agents[slot], [unit_ops.UnitReport(self.some([number])[0], attempt, letter, b"late")]
        )

    @precondition(lambda self: self.retired)
    @rule(chosen=st.integers(0), letter=LETTERS)
    def report_too_late(self, chosen: int, letter: str) -> None:
        """The agent of a pilot that has ended reports."""
        agent = self.retired[chosen % len(self.retired)]
        self.report(agent, [unit_ops.UnitReport(*item, letter, b"late") for item in agent.leased.items()])

    @rule(slot=SLOTS, has_heard=st.booleans())
    def beat(self, slot: int, has_heard: bool) -> None:
        agent = self.agents[slot]
        answers = self.both(
            lambda side: pilot_ops.beat(
                self.keys, agent.name, agent.epochs[side], LEASE_MS, agent.seen[side], {}
            )
        )
        if answers and has_heard and answers[0].controls:
            agent.seen = answers[0].controls[-1][0], answers[1].controls[-1][0]

    @rule(slot=SLOTS, by_agent=st.booleans(), state=st.sampled_from(("Done", "Failed", "Canceled")))
    def end(self, slot: int, by_agent: bool, state: str) -> None:
        """Sooner or later; the next pilot follows."""
        agent = self.agents[slot]
        epochs = agent.epochs if by_agent else ("", "")
        self.both(
            lambda side: pilot_ops.end(
                self.keys, agent.name, epochs[side], pilot_ops.PilotEnd(state, "asked")
            )
        )

    # --- misfortunes

    @rule(slot=SLOTS)
    def pass_lease(self, slot: int) -> None:
        name = self.agents[slot].name
        if name in self.memory.pilots:
            self.memory.pass_lease(name)
        self.link.client.zadd(self.keys.named("leases"), {name: 1}, xx=True)

    @rule(slot=SLOTS)
    def take_bell(self, slot: int) -> None:
        """The agent hears it, or its connection breaks: either way it claims next."""
        name = self.agents[slot].name
        if self.link.client.delete(self.keys.door(name)):
            self.awake.add(name)

    @rule()
    def take_snapshot(self) -> None:
        client = self.link.client
        names: Any = client.keys("*")
        contents = {name: (int(client.pttl(name)), client.dump(name)) for name in names}  # type: ignore[arg-type]
        self.snapshot = Snapshot(copy.deepcopy(self.memory), contents)  # type: ignore[arg-type]

    @rule(has_lost=st.booleans())
    def restart_server(self, has_lost: bool) -> None:
        """It comes back as it was, or as it was some time ago."""
        if has_lost and self.snapshot:
            self.roll_back(self.snapshot)
        self.boots += 1
        self.memory.restart_server()
        self.session.restart_server(f"boot {self.boots}")
        self.awake.update(agent.name for agent in self.agents)
        self.said = None

    def roll_back(self, snapshot: Snapshot) -> None:
        self.wait_a_millisecond()
        self.memory = copy.deepcopy(snapshot.memory)
        self.link.client.flushall()
        for name, (life, content) in snapshot.keys.items():
            self.link.client.restore(name, life, content)
        self.attempts, self.ended = {}, {}

    def wait_a_millisecond(self) -> None:
        """No server comes back within the one in which it went: epochs are its milliseconds."""
        clock: Any = self.link.client.time
        then = clock()
        while clock()[1] // 1000 == then[1] // 1000:
            continue

    # --- what holds

    @invariant()
    def sides_agree(self) -> None:
        book = self.memory.book.units
        found = dict(zip(book, self.link.query(reads.units(self.keys, list(book))))) if book else {}
        for name, u in book.items():
            r = found[name]
            assert r is not None
            assert (u.letter, u.attempt, u.pilot) == (r.letter, r.attempt, r.pilot), name
            assert (u.retries, u.restarts, u.queue) == (r.retries_left, r.restarts_left, r.queue), name
        results = self.link.query(reads.results(self.keys, ["none", *book]))
        assert results[1:] == [u.result or None for u in book.values()]
        for name, pilot in self.memory.pilots.items():
            assert self.link.query(reads.pilot(self.keys, name)).get("state", b"").decode() == pilot.state, (
                name
            )

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
