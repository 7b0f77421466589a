"""Units that read data units and add to them, in memory: how they wait, and where they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from .data import DataBook
from .pilots import MemoryPilot
from .placing import Input, Place, Site, StoreNear, choose, is_close, text_of
from .records import Queue
from .units import UnitBook


class Surroundings(Protocol):
    """What a session knows beside its units and data."""

    def has_ended(self, pilot: str) -> bool:
        """Tell whether a pilot has."""

    def sites(self, queue: Queue) -> list[Site]:
        """Return the sites where a queue's units may run."""

    def is_attached(self, service: str, owner: str) -> bool:
        """Tell whether an owner's units use what a service has."""

    def living(self, owner: str) -> list[MemoryPilot]:
        """Return the pilots that live and take an owner's units."""


class InputBook(UnitBook):
    """All units of a session, and the data that they wait for."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__()
        self.data = DataBook(self.release_later)
        self.must_place_again = False
        """Whether pilots have come or gone, so that what was placed nowhere is placed again."""
        self.left: set[tuple[str, Place]] = set()
        """Owners and the places where pilots have gone that took their units."""
        self._around = around
        self._loads: dict[str, Counter[str]] = {}
        self._stores: dict[str, tuple[StoreNear, ...]] = {}

    @property
    def has_inputs(self) -> bool:
        """Whether a unit that reads data has not ended."""
        return any(unit.inputs for unit in self.units.values())

    @property
    def awaits_replicas(self) -> bool:
        """Whether replicas are asked for while units read data."""
        return self.has_inputs and bool(self.data.asked())

    def begin(self) -> None:
        """Look at everything anew; begins every operation."""
        self.must_place_again = False
        self.left.clear()
        self._loads.clear()
        self._stores.clear()

    def follow_up(self, abandoned: Mapping[str, str]) -> None:
        """Do what follows from an operation; ends it."""
        if self.must_place_again and self.unplaced:
            self.releases.append(f"unplaced:{len(self.unplaced)}")
        self._give_up_sites()
        super().follow_up(abandoned)

    def _give_up_sites(self) -> None:
        places = []
        for owner, place in sorted(self.left, key=lambda one: f"{one[0]}/{','.join(one[1])}"):
            pilots = [pilot for pilot in self._around.living(owner) if pilot.label == place]
            for queue in () if self._around.has_ended(owner) else self.queues([owner]):
                if queue.label == place and not any(pilot.fits(queue) for pilot in pilots):
                    self.releases.append(f"queue:{self.length(queue)}:{queue.name}")
            if not pilots:
                places.append(place)
        for copy in sorted(self.data.asked()):
            store = self.data.stores.get(copy.partition(" ")[2])
            if store and store.state == "Running" and any(is_close(store.label, place) for place in places):
                self.release_later(copy.replace(" ", "@"))

    def place_queued(self, number: int, queue: Queue) -> None:
        """Place what reads data among the first so many units of a queue, for which there is no site any more."""
        load = self._load_of(queue.owner)
        entries, behind = self._queues[queue.name][:number], self._queues[queue.name][number:]
        moved: dict[str, tuple[int, str]] = {}
        for entry in entries:
            unit = self.units[entry[1]]
            if unit.letter == "N" and unit.queue == queue.name and unit.inputs:
                moved.setdefault(entry[1], entry)
        load[",".join(queue.label)] -= queue.cores * len(moved)
        for entry in moved.values():
            entries.remove(entry)
        self._queues[queue.name] = behind + entries
        for name in moved:
            self.make_ready(name, at_front=False)

    def verdict(self, name: str, mode: str) -> str:
        """Tell what the end of something means for who waits for it: ``go``, ``wait`` or ``end``."""
        if "@" in name:
            return "go"
        if not name.startswith("du-"):
            return super().verdict(name, mode)
        return self.data.units[name].verdict(mode) if name in self.data.units else "end"

    def knows_data(self, inputs: Sequence[str], outputs: Sequence[str]) -> bool:
        """Tell whether a unit's data is known, and none is both read and added to."""
        return {*inputs, *outputs} <= self.data.units.keys() and not {*inputs} & {*outputs}

    def start_producing(self, name: str) -> None:
        """Count a unit as one that is to add files."""
        for data_unit in self.units[name].outputs:
            self.data.add_producer(data_unit)

    def conclude(self, name: str, letter: str) -> None:
        """End a unit; what it adds to has one producer less."""
        unit = self.units[name]
        owner = unit.queue.partition("/")[0]
        self._leave_copies(name)
        outputs, unit.inputs, unit.outputs = unit.outputs, (), ()
        for data_unit in outputs:
            targets = [(store.room, store.name) for store in self._stores_for(owner) if store.is_attached]
            self.data.end_producer(data_unit, name, letter, targets)
        super().conclude(name, letter)

    def adopt(self, name: str, pilot: str, attempt: int) -> None:
        """Believe a pilot that has a later attempt than is known here."""
        if self._leave_copies(name):
            self.units[name].placement = ""
        super().adopt(name, pilot, attempt)

    def make_ready(self, name: str, *, at_front: bool) -> None:
        """Queue a unit whose predecessors have ended; one that reads data is placed, or waits."""
        unit = self.units[name]
        if not unit.inputs:
            super().make_ready(name, at_front=at_front)
            return
        has_waited = self._leave_copies(name)
        verdicts = {given: self.verdict(given, unit.mode) for given in unit.inputs}
        waits = [given for given, verdict in verdicts.items() if verdict == "wait"]
        if has_waited and (waits or "end" in verdicts.values()):
            unit.placement = ""
        if "end" in verdicts.values():
            self.conclude(name, "C")
        elif waits:
            self.wait_for(name, unit.mode, waits)
        else:
            self._place(name, at_front=at_front)

    def _place(self, name: str, *, at_front: bool) -> None:
        unit, queue = self.units[name], Queue.named(self.units[name].queue)
        if queue.owner.startswith("p-") and self._around.has_ended(queue.owner):
            unit.placement = ""
            super().make_ready(name, at_front=at_front)
            return
        sites = self._around.sites(queue.of(unit.wish))
        if not sites:
            unit.placement, unit.letter = "nowhere||0||", "W"
            self.unplaced.append(name)
            return
        load = self._load_of(queue.owner)
        inputs = [self._input(given) for given in unit.inputs]
        choices = choose(sites, inputs, self._stores_for(queue.owner), queue.cores, load)
        best = choices[0]
        unit.placement = text_of(choices, unit.placement)
        load[best.label] += queue.cores
        if best.kind == "copy":
            self._ask(best.copies)
            unit.waits_for_copies = True
            self.wait_for(name, "r", best.copies)
            return
        datacenter, machine = best.label.split(",")
        unit.queue = queue.of((datacenter, machine)).name
        super().make_ready(name, at_front=at_front)

    def _input(self, name: str) -> Input:
        unit = self.data.units[name]
        letters = {at: replica.letter for at, replica in unit.replicas.items()}
        return Input(name, unit.size, unit.is_over, letters)

    def _ask(self, copies: Sequence[str]) -> None:
        for copy in copies:
            data_unit, _, store = copy.partition("@")
            self.data.ask(data_unit, [store])

    def _stores_for(self, owner: str) -> tuple[StoreNear, ...]:
        if owner not in self._stores:
            self._stores[owner] = tuple(
                self._store(name, owner)
                for name, store in self.data.stores.items()
                if store.state == "Running"
            )
        return self._stores[owner]

    def _store(self, name: str, owner: str) -> StoreNear:
        store = self.data.stores[name]
        is_attached = self._around.is_attached(store.place.service, owner)
        return StoreNear(name, store.label, self.data.room(name), is_attached)

    def _load_of(self, owner: str) -> Counter[str]:
        """Return the cores that wait, by label; counted once per operation, as the scripts do."""
        if owner not in self._loads:
            load: Counter[str] = Counter()
            for queue in self.queues([owner]):
                load[",".join(queue.label)] += queue.cores * self.length(queue)
            for unit in self.units.values():
                queue = Queue.named(unit.queue)
                if queue.owner == owner and unit.waits_for_copies:
                    load[unit.site] += queue.cores
            self._loads[owner] = load
        return self._loads[owner]

    def _leave_copies(self, name: str) -> bool:
        unit = self.units[name]
        if not unit.waits_for_copies:
            return False
        queue = Queue.named(unit.queue)
        self._load_of(queue.owner)[unit.site] -= queue.cores
        unit.waits_for_copies = False
        return True
