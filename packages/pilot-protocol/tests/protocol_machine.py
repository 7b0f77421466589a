"""Everything that clients, agents and misfortune can do to a session, in any order."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pilot_protocol import pilot_ops, unit_ops
from scripted_session import GROUP, OWNER, SERVICE, ServerLink, queue, unit_id
from two_sides import OTHER_OWNER, OTHER_SERVICE, SIZES, Agent, Snapshot, TwoSides

FIRST = "p-aaaaaaa0"
QUEUES = (
    queue(), queue(2), queue(4), queue(priority=1), queue(label="here"), queue(gpus=1),
    queue(owner=OTHER_OWNER), queue(3, owner=OTHER_OWNER), queue(owner=FIRST),
)  # fmt: skip
SERVICES = st.sampled_from((SERVICE, OTHER_SERVICE))
OWNERS = st.sampled_from((OWNER, OTHER_OWNER))
SLOTS = st.integers(0, len(SIZES) - 1)
UNITS = st.integers(0, 60)
LETTERS = st.sampled_from("RDELUHSFC")
ASKED = st.sampled_from(
    ((8, 8, True), (1, 1, False), (3, 2, True), (0, 4, True), (2, 8, False), (5, 0, True))
)
"""Most units, most cores, reserve."""


class ProtocolMachine(RuleBasedStateMachine):
    """Pilots come and go, units are submitted, claimed, reported and canceled. Subclasses name the server."""

    link: ServerLink

    def __init__(self) -> None:
        super().__init__()
        self.sides = TwoSides(self.link)
        self.agents = [Agent(f"p-aaaaaaa{slot}", size) for slot, size in enumerate(SIZES)]
        self.retired: list[Agent] = []
        """Agents whose pilots have ended; they may live on for a while."""
        self.submitted = 0
        """Units have the numbers below; some more are spoken of that may never have been submitted."""
        self.snapshot: Snapshot | None = None

    def some(self, numbers: Iterable[int]) -> list[str]:
        """Return the ids of some units, each once."""
        return list(dict.fromkeys(unit_id(number % (self.submitted + 2)) for number in numbers))

    def agent(self, slot: int) -> Agent:
        """Return an agent whose pilot lives, as far as is known; where one has ended, the next one comes."""
        old = self.agents[slot]
        if self.sides.has_ended(old):
            self.retired.append(old)
            self.agents[slot] = Agent(f"p-aaaaaa{len(self.retired)}{slot}", old.size)
            self.arrive(self.agents[slot])
        return self.agents[slot]

    def arrive(self, agent: Agent) -> None:
        self.sides.announce(agent)
        self.sides.register(agent)
        self.sides.sync(agent, ())

    # --- clients

    @initialize()
    def start(self) -> None:
        """All pilots have come, found nothing and sleep."""
        self.attach(OTHER_SERVICE, OWNER, attached=True)
        for agent in self.agents:
            self.arrive(agent)
            self.sides.claim(agent, agent.size["cores"], agent.size["cores"], reserve=False)

    @rule(count=st.integers(1, 4), into=st.sampled_from(QUEUES[:2]), retries=st.integers(0, 1))
    def submit_ready(self, count: int, into: str, retries: int) -> None:
        ids = [unit_id(self.submitted + number) for number in range(count)]
        self.submitted += count
        units = [unit_ops.NewUnit(name, into, b"ready", retries, 1) for name in ids]
        self.sides.both(lambda _: unit_ops.submit(self.sides.keys, GROUP, OWNER, units, {}))

    @rule(
        numbers=st.lists(UNITS, min_size=1, max_size=4),
        into=st.sampled_from(QUEUES),
        after=st.lists(UNITS, max_size=2),
        again=st.tuples(st.integers(0, 1), st.integers(0, 1)),
        anyway=st.booleans(),
    )
    def submit_any(
        self, numbers: list[int], into: str, after: list[int], again: tuple[int, int], anyway: bool
    ) -> None:
        before = self.some(after)
        units = [unit_ops.NewUnit(name, into, b"any", *again, before, anyway) for name in self.some(numbers)]
        self.submitted += 2
        owner = into.split("/", 1)[0]
        self.sides.both(lambda _: unit_ops.submit(self.sides.keys, GROUP, owner, units, {}))

    @rule(numbers=st.lists(UNITS, min_size=1, max_size=3))
    def cancel(self, numbers: list[int]) -> None:
        orders = [(name, b"stop") for name in self.some(numbers)]
        self.sides.both(lambda _: unit_ops.cancel(self.sides.keys, orders))

    @rule(service=SERVICES, owner=OWNERS, attached=st.booleans())
    def attach(self, service: str, owner: str, attached: bool) -> None:
        self.sides.both(lambda _: pilot_ops.attach(self.sides.keys, service, owner, attached=attached))

    @rule(slot=SLOTS)
    def control(self, slot: int) -> None:
        name = self.agents[slot].name
        # Who says it again leaves two orders; they are carried out once.
        self.sides.both(lambda _: pilot_ops.control(self.sides.keys, name, b"order"), is_repeatable=False)

    # --- agents

    @rule(slot=SLOTS, asked=ASKED)
    def claim(self, slot: int, asked: tuple[int, int, bool]) -> None:
        self.sides.claim(self.agent(slot), *asked[:2], reserve=asked[2])

    @rule(slot=SLOTS)
    def fill(self, slot: int) -> None:
        """One claims as much as its pilot can hold, and starts it. There is some, and nobody is waited for."""
        if self.sides.memory.absent:
            self.come_back()
        if not any(unit.letter == "N" for unit in self.sides.memory.book.units.values()):
            self.submit_ready(3, QUEUES[0], 1)
        agent = self.agent(slot)
        self.sides.claim(agent, agent.size["cores"], agent.size["cores"], reserve=True)
        self.sides.report(agent, [unit_ops.UnitReport(*item, "R") for item in agent.leased.items()])

    def come_back(self) -> None:
        for slot in range(len(SIZES)):
            agent = self.agent(slot)
            self.sides.register(agent)
            self.sides.sync(agent, list(agent.leased.items()))

    @rule(slot=SLOTS, letters=st.lists(LETTERS, min_size=1, max_size=4))
    def work(self, slot: int, letters: list[str]) -> None:
        """An agent has news of what it leased last."""
        if not self.agents[slot].leased:
            self.fill(slot)
        agent = self.agents[slot]
        leased = list(agent.leased.items())[-len(letters) :]
        self.sides.report(
            agent, [unit_ops.UnitReport(*item, letter, b"news") for item, letter in zip(leased, letters)]
        )

    @rule(slot=SLOTS, number=UNITS, letter=LETTERS, attempt=st.integers(0, 3))
    def report_out_of_place(self, slot: int, number: int, letter: str, attempt: int) -> None:
        """It speaks of a unit that another may have, of an old attempt, or of one that the server forgot."""
        (name,) = self.some([number])
        self.sides.report(self.agents[slot], [unit_ops.UnitReport(name, attempt, letter, b"late")])

    @rule(slot=SLOTS, forgotten=st.sets(st.integers(0, 3)))
    def forget(self, slot: int, forgotten: set[int]) -> None:
        agent = self.agents[slot]
        held = [
            item for place, item in enumerate(reversed(list(agent.leased.items()))) if place not in forgotten
        ]
        self.sides.sync(agent, held)

    @rule(slot=SLOTS, instance=st.sampled_from("xy"))
    def start_again(self, slot: int, instance: str) -> None:
        self.sides.register(self.agents[slot], instance)

    @rule(slot=SLOTS, has_heard=st.booleans())
    def beat(self, slot: int, has_heard: bool) -> None:
        self.sides.beat(self.agents[slot], has_heard=has_heard)

    @precondition(lambda self: self.retired)
    @rule(chosen=st.integers(0), letter=LETTERS)
    def speak_too_late(self, chosen: int, letter: str) -> None:
        agent = self.retired[chosen % len(self.retired)]
        self.sides.beat(agent, has_heard=True)
        self.sides.claim(agent, 1, 1, reserve=False)
        told = [unit_ops.UnitReport(*item, letter, b"late") for item in agent.leased.items()]
        self.sides.report(agent, told)

    # --- doorbells

    @rule(
        count=st.integers(1, 4),
        into=st.sampled_from(QUEUES[:3]),
        asked=ASKED,
        what=st.sampled_from(("answer", "end", "lose", "leave")),
    )
    def ring(self, count: int, into: str, asked: tuple[int, int, bool], what: str) -> None:
        """All sleep; units come; who is rung asks for some of them, or is gone."""
        for slot in range(len(SIZES)):
            self.sleep(self.agent(slot))
        self.submit_ready(count, into, 0)
        for agent in [agent for agent in self.agents if self.sides.is_rung(agent)]:
            if what == "answer":
                self.sides.claim(agent, *asked[:2], reserve=asked[2])
            elif what == "end":
                self.sides.end(agent, "Done", by_agent=True)
            elif what == "lose":
                self.lose_pilot(self.agents.index(agent), sweeps=True)
            else:
                self.attach(agent.size["service"], OWNER, attached=False)

    def sleep(self, agent: Agent) -> None:
        """Let an agent take what there is until nothing is left, and be hungry."""
        before = None
        while agent.leased != before:
            before = dict(agent.leased)
            self.sides.claim(agent, agent.size["cores"], agent.size["cores"], reserve=False)

    # --- misfortunes

    @rule(slot=SLOTS, by_agent=st.booleans(), state=st.sampled_from(("Done", "Failed", "Canceled")))
    def end(self, slot: int, by_agent: bool, state: str) -> None:
        self.sides.end(self.agents[slot], state, by_agent=by_agent)

    @rule(slot=SLOTS, sweeps=st.booleans())
    def lose_pilot(self, slot: int, sweeps: bool) -> None:
        self.sides.pass_lease(self.agents[slot])
        if sweeps:
            self.sides.both(lambda _: pilot_ops.sweep(self.sides.keys))

    @rule(slot=SLOTS)
    def take_bell(self, slot: int) -> None:
        self.sides.take_bell(self.agents[slot])

    @rule()
    def take_snapshot(self) -> None:
        self.snapshot = self.sides.snapshot()

    @rule(is_older=st.booleans())
    def restart_server(self, is_older: bool) -> None:
        self.sides.restart(self.snapshot if is_older else None, self.agents)

    @invariant()
    def all_is_well(self) -> None:
        self.sides.check()
