"""What units with data, stagers and movers add to everything that can happen to a session."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from pilot_protocol import data_ops, pilot_ops, unit_ops
from pilot_protocol.data_ops import Delivery, ReplicaClaim
from pilot_protocol.data_records import FileRecord, PilotDataPlace, ReplicaRecord
from pilot_protocol.operation import Operation
from protocol_machine import LETTERS, QUEUES, SLOTS, UNITS, ProtocolMachine
from scripted_session import GROUP, LEASE_MS, OWNER
from two_sides import Agent

SERVICE, OTHER = "pds-aaaaaaaa", "pds-bbbbbbbb"
STAGER = "pds-aaaaaaaa-1"
STORES = (
    ("pd-aaaaaaaa", PilotDataPlace(SERVICE, "far,")), ("pd-bbbbbbbb", PilotDataPlace(SERVICE, ",here", 500_000_000)),
    ("pd-cccccccc", PilotDataPlace(SERVICE, ",", 100)), ("pd-dddddddd", PilotDataPlace(OTHER, ",here")),
)  # fmt: skip
"""No pilot is near the first one, where there is data at the beginning."""
WANTED = (1, 1, 2, 1)
"""Replicas that the data units ask for."""
STORE = st.sampled_from([name for name, _ in STORES])
SLOT = st.integers(0, len(WANTED) - 1)
SOME = st.sets(SLOT, max_size=2)
SIZES = st.sampled_from((0, 10, 200_000_000))


class DataMachine(ProtocolMachine):
    """Units read and fill data units, whose replicas come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.data_units: list[str] = []
        self.made = 0

    @initialize()
    def make_data(self) -> None:
        """There are places, and data units: some have files."""
        self.attach_stores(attached=True)
        for name, place in STORES:
            self.new_store(name, place)
        self.data_units = [self.new_data_unit(slot) for slot in range(len(WANTED))]
        for slot in (0, 1):
            self.put(slot, 100_000_000)
            self.replicate(slot, STORES[0][0], "D")

    def new_data_unit(self, slot: int) -> str:
        self.made += 1
        name = f"du-{self.made}"
        self.sides.both(lambda _: data_ops.declare_data_unit(self.sides.keys, name, b"record", WANTED[slot]))
        return name

    def new_store(self, name: str, place: PilotDataPlace) -> None:
        self.sides.both(lambda _: data_ops.declare_pilot_data(self.sides.keys, name, b"", place))

    def names(self, slots: set[int]) -> list[str]:
        return [self.data_units[slot] for slot in sorted(slots)]

    def size_of(self, name: str) -> int:
        return self.sides.memory.book.data.units[name].size

    # --- units

    @rule(
        numbers=st.lists(UNITS, min_size=1, max_size=3),
        into=st.sampled_from(QUEUES),
        after=st.lists(UNITS, max_size=1),
        data=st.tuples(SOME, SOME),
        anyway=st.booleans(),
    )
    def submit_with_data(
        self, numbers: list[int], into: str, after: list[int], data: tuple[set[int], set[int]], anyway: bool
    ) -> None:
        self.submit_some(self.some(numbers), into, (self.some(after), *data), anyway=anyway)

    @rule(
        count=st.integers(1, 3),
        reads=st.sets(SLOT, min_size=1, max_size=2),
        into=st.sampled_from(QUEUES[:5]),
        letters=st.lists(st.sampled_from("DDDFC"), max_size=3),
        slot=SLOTS,
    )
    def read(self, count: int, reads: set[int], into: str, letters: list[str], slot: int) -> None:
        """Units wait for nothing else than whole data; copies of it are made, and a pilot takes what is ready."""
        for data in reads:
            if not self.sides.memory.book.data.units[self.data_units[data]].has_whole:
                self.put(data, 10)
                self.replicate(data, STORES[0][0], "D")
        self.submit_some(self.new_ids(count), into, ([], reads, set()), anyway=False)
        if letters:
            self.make_what_is_asked(letters)
            self.fill(slot)

    @rule(slot=SLOTS, data=SLOT, store=STORE, size=SIZES, letter=LETTERS)
    def chain(self, slot: int, data: int, store: str, size: int, letter: str) -> None:
        """One fills a data unit and ends; another reads it."""
        name, first = self.data_units[data], self.new_ids(1)
        self.submit_some(first, QUEUES[0], ([], set(), {data}), anyway=False)
        self.submit_some(self.new_ids(1), QUEUES[0], ([], {data}, set()), anyway=False)
        self.fill(slot)
        agent = self.agents[slot]
        leased = list(agent.leased.items())
        for item in leased:
            self.deliver(agent, item, name, (store, size))
        ends = [unit_ops.UnitReport(*item, letter if item[0] in first else "D", b"") for item in leased]
        self.sides.report(agent, ends)

    def new_ids(self, count: int) -> list[str]:
        return self.some(self.submitted + number for number in range(count))

    def submit_some(
        self, ids: Sequence[str], into: str, needs: tuple[list[str], set[int], set[int]], *, anyway: bool
    ) -> None:
        after, (reads, adds) = needs[0], map(self.names, needs[1:])
        units = [unit_ops.NewUnit(name, into, b"data", 0, 1, after, anyway, reads, adds) for name in ids]
        self.submitted += len(ids)
        owner = into.split("/", 1)[0]
        self.sides.both(lambda _: unit_ops.submit(self.sides.keys, GROUP, owner, units, {}))

    @rule(slot=SLOTS, data=SLOT, store=STORE, size=SIZES)
    def deliver_last(self, slot: int, data: int, store: str, size: int) -> None:
        agent = self.agents[slot]
        for item in list(agent.leased.items())[-1:]:
            self.deliver(agent, item, self.data_units[data], (store, size))

    def deliver(self, agent: Agent, item: tuple[str, int], name: str, what: tuple[str, int]) -> None:
        store, size = what
        files = [(FileRecord(f"{item[0]}.{size}", size), b"sealed")] if size else []

        def make(side: int) -> Operation[data_ops.DeliveryAnswer]:
            delivery = Delivery(agent.name, agent.epochs[side], *item, name, store)
            return data_ops.deliver_files(self.sides.keys, delivery, files)

        self.sides.both(make)

    # --- stagers and owners of data

    @rule(data=SLOT, store=STORE, letter=st.sampled_from("DDDFCPR"))
    def replicate(self, data: int, store: str, letter: str) -> None:
        """A replica is asked for and made, as far as anybody gets."""
        name = self.data_units[data]
        self.sides.both(lambda _: data_ops.ask_replica(self.sides.keys, name, store))
        if letter != "P":
            self.claim_replica(name, store)
        if letter not in "PR":
            self.settle(name, store, letter)

    def claim_replica(self, name: str, store: str) -> None:
        claim = ReplicaClaim(name, store, STAGER, self.size_of(name), dict(STORES)[store].size_limit)
        self.sides.both(lambda _: data_ops.claim_replica(self.sides.keys, claim, LEASE_MS))

    def settle(self, name: str, store: str, letter: str) -> None:
        record = ReplicaRecord(name, store, letter, STAGER, self.size_of(name) if letter == "D" else 0)
        self.sides.both(lambda _: data_ops.settle_replica(self.sides.keys, record))

    @rule(letters=st.lists(st.sampled_from("DDFC"), min_size=1, max_size=3))
    def make_what_is_asked(self, letters: list[str]) -> None:
        """Stagers look at what is asked for."""
        units = self.sides.memory.book.data.units
        asked = sorted(
            (name, at) for name, unit in units.items() for at in unit.replicas if unit.is_asked(at)
        )
        for (name, store), letter in zip(asked, letters):
            self.claim_replica(name, store)
            self.settle(name, store, letter)

    @rule(data=SLOT, size=SIZES)
    def put(self, data: int, size: int) -> None:
        """Files are added that are nowhere yet."""
        name = self.data_units[data]
        file = FileRecord(f"put.{size}", size)
        if not self.sides.memory.book.data.units[name].has_whole:
            self.sides.both(lambda _: data_ops.put_files(self.sides.keys, name, [(file, b"sealed")]))

    @rule(data=SLOT, store=STORE)
    def forget_replica(self, data: int, store: str) -> None:
        self.sides.both(lambda _: data_ops.forget_replica(self.sides.keys, self.data_units[data], store))

    @rule(data=SLOT, state=st.sampled_from(("Done", "Failed", "Canceled")))
    def end_data_unit(self, data: int, state: str) -> None:
        """It ends, and another takes its place."""
        self.sides.both(lambda _: data_ops.end_data_unit(self.sides.keys, self.data_units[data], state, ""))
        self.data_units[data] = self.new_data_unit(data)

    @rule(store=st.sampled_from((*[STORES[2][0]] * 4, *[name for name, _ in STORES])))
    def end_store(self, store: str) -> None:
        """Mostly the one that is missed least: an ended one does not come back."""
        self.sides.both(lambda _: data_ops.end_pilot_data(self.sides.keys, store, "Canceled", ""))

    @rule(attached=st.booleans())
    def attach_stores(self, attached: bool) -> None:
        self.sides.both(lambda _: pilot_ops.attach(self.sides.keys, SERVICE, OWNER, attached=attached))

    # --- misfortunes

    @rule(is_older=st.booleans())
    def restart_server(self, is_older: bool) -> None:
        """Data that it has forgotten is known to nobody: other data takes its place."""
        super().restart_server(is_older)
        known = self.sides.memory.book.data
        for name, place in STORES:
            if name not in known.stores:
                self.new_store(name, place)
        for slot, name in enumerate(self.data_units):
            if name not in known.units:
                self.data_units[slot] = self.new_data_unit(slot)
