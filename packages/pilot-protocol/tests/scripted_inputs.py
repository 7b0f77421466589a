"""Data units, Pilot-Data and the units that read and fill them, on a real server, in few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pilot_protocol import data_ops, pilot_ops, reads
from pilot_protocol.data_ops import ClaimAnswer, Delivery, DeliveryAnswer, ReplicaClaim
from pilot_protocol.data_records import DataUnitReading, FileRecord, PilotDataPlace, ReplicaRecord
from pilot_protocol.keys import label_of
from pilot_protocol.placements import Placement
from scripted_session import LEASE_MS, OWNER, ScriptedPilot, ScriptedSession, unit_id

STORES = "pds-aaaaaaaa"
STAGER = "pds-aaaaaaaa-1"
X, Y, Z = "du-xxxxxxxxxxxx", "du-yyyyyyyyyyyy", "du-zzzzzzzzzzzz"
HERE, THERE = "pd-hhhhhhhh", "pd-tttttttt"


class ScriptedInputs:
    """A session with data. Labels are machines of one datacenter without a name."""

    def __init__(self, session: ScriptedSession) -> None:
        self.session = session
        self.keys, self.run = session.keys, session.run
        self.run(pilot_ops.attach(self.keys, STORES, OWNER))

    def store(self, name: str, machine: str = "", *, limit: int = 0, service: str = STORES) -> None:
        """Make a Pilot-Data."""
        place = PilotDataPlace(service, label_of(machine=machine), limit)
        self.run(data_ops.declare_pilot_data(self.keys, name, b"record", place))

    def make(self, *names: str, replicas: int = 1) -> None:
        """Make data units without files."""
        for name in names:
            self.run(data_ops.declare_data_unit(self.keys, name, b"record", replicas))

    def have(self, name: str, *stores: str, size: int = 100) -> None:
        """Make a data unit of one file, whole at some Pilot-Data."""
        self.make(name)
        self.run(data_ops.put_files(self.keys, name, [(FileRecord("file", size), b"sealed")]))
        for store in stores:
            self.ask(name, store)
            assert self.claim(name, store, size).verdict == "granted"
            assert self.settle(name, store, "D", size) == 1

    def ask(self, name: str, store: str) -> None:
        """Ask for a replica."""
        assert self.run(data_ops.ask_replica(self.keys, name, store)) == 1

    def claim(self, name: str, store: str, size: int = 100, *, limit: int = 0) -> ClaimAnswer:
        """Begin to make a replica."""
        claim = ReplicaClaim(name, store, STAGER, size, limit, "full")
        return self.run(data_ops.claim_replica(self.keys, claim, LEASE_MS))

    def settle(self, name: str, store: str, letter: str, size: int = 100) -> int:
        """Say how a replica ended."""
        return self.run(data_ops.settle_replica(self.keys, ReplicaRecord(name, store, letter, STAGER, size)))

    def copy(self, name: str, store: str, letter: str = "D") -> None:
        """Make a replica that was asked for."""
        assert (name, store) in self.asked()
        assert self.claim(name, store).verdict == "granted"
        assert self.settle(name, store, letter) == 1

    def deliver(
        self, pilot: ScriptedPilot, number: int, name: str, store: str, *files: tuple[str, int], attempt: int = 1
    ) -> DeliveryAnswer:  # fmt: skip
        """Let a pilot deliver a unit's files."""
        delivery = Delivery(pilot.name, pilot.epoch, unit_id(number), attempt, name, store)
        records = [(FileRecord(path, size), b"sealed") for path, size in files]
        return self.run(data_ops.deliver_files(self.keys, delivery, records))

    def fill(self, pilot: ScriptedPilot, number: int, name: str, store: str) -> None:
        """Let a pilot deliver one file of a unit that it claimed, and report its end."""
        assert self.deliver(pilot, number, name, store, (f"{number}", 10)).verdict == "delivered"
        assert pilot.report((number, 1, "D")) == "1"

    def end(self, name: str, state: str = "Canceled") -> int:
        """End a data unit."""
        return self.run(data_ops.end_data_unit(self.keys, name, state, ""))

    def end_store(self, name: str) -> int:
        """End a Pilot-Data."""
        return self.run(data_ops.end_pilot_data(self.keys, name, "Canceled", ""))

    def read(self, name: str) -> DataUnitReading:
        """Return what is known of a data unit."""
        return self.run(data_ops.read_data_unit(self.keys, name))

    def letters(self, name: str) -> dict[str, str]:
        """Return the letters of a data unit's replicas by Pilot-Data."""
        return {replica.pilot_data: replica.letter for replica in self.read(name).replicas}

    def asked(self) -> list[tuple[str, str]]:
        """Return the replicas that somebody should make."""
        return self.session.link.query(data_ops.asked(self.keys))

    def used(self, store: str) -> int:
        """Return the bytes that are used at a Pilot-Data."""
        return self.session.link.query(data_ops.pilot_data_used(self.keys, store))

    def placement(self, number: int) -> Placement | None:
        """Return where a unit was placed, and why."""
        (found,) = self.session.link.query(reads.placements(self.keys, [unit_id(number)]))
        return found

    def kinds(self, *numbers: int) -> list[tuple[str, str]]:
        """Return kind and site of units' placements."""
        found = map(self.placement, numbers)
        return [(placement.kind, placement.site) for placement in found if placement]

    def waits(self, *numbers: int) -> list[int | None]:
        """Return for how many things units wait."""
        ids = [unit_id(number) for number in numbers]
        return self.session.link.query(reads.open_predecessors(self.keys, ids))

    def submit(
        self, *numbers: int, reads: Sequence[str] = (), adds: Sequence[str] = (), **wishes: Any
    ) -> int:
        """Submit units; returns how many were added."""
        return self.session.submit(*numbers, inputs=reads, outputs=adds, **wishes).added
