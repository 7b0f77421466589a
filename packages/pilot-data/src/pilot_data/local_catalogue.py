"""The catalogue of one process, kept in memory."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from pilot_protocol.data_records import FileRecord, ReplicaLetter, ReplicaRecord, state_of_replicas
from pilot_protocol.errors import StateError
from pilot_protocol.states import State, is_final

from .catalogue import LEASE_S, Catalogue, Claim, DataUnitRecord, PilotDataRecord, no_room, unknown


@dataclass
class _Unit:
    """A data unit and what follows from its files and replicas."""

    record: DataUnitRecord
    files: dict[str, FileRecord] = field(default_factory=dict)
    bytes: int = 0
    replicas: dict[str, ReplicaRecord] = field(default_factory=dict)
    leases: dict[str, float] = field(default_factory=dict)
    reserved: dict[str, int] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    """Replicas that were Done, and get further files from their owners."""

    def told(self) -> DataUnitRecord:
        """Return the record as it is now."""
        record = replace(self.record, files=len(self.files), bytes=self.bytes, replicas=dict(self.replicas))
        return record.told()

    def put(self, file: FileRecord) -> None:
        """Add a file, or replace what is known of it."""
        self._drop(file.path)
        self.files[file.path] = file
        self.bytes += 0 if file.link else file.size

    def remove(self, path: str) -> None:
        """Forget a file, and give back the room that it took where the data unit is whole."""
        if not self._drop(path):
            return
        for name, replica in self.replicas.items():
            if replica.letter == ReplicaLetter.DONE:
                self.reserved[name] = left = min(replica.bytes, self.bytes)
                self.replicas[name] = replica._replace(bytes=left)

    def _drop(self, path: str) -> bool:
        known = self.files.pop(path, None)
        if known is None or known.link:
            return False
        self.bytes -= known.size
        return True

    def note_whole(self, replica: ReplicaRecord, *, adds: bool) -> bool:
        """Note whether a replica that is claimed is whole, and gets further files; return it."""
        is_whole = adds and (replica.letter == ReplicaLetter.DONE or replica.pilot_data in self.whole)
        self.whole.discard(replica.pilot_data)
        if is_whole:
            self.whole.add(replica.pilot_data)
        return is_whole

    def refuse(self, replica: ReplicaRecord, reason: str, *, adds: bool) -> None:
        """Note that there is no room. What was to get further files has what it had; the claimer removes other files there are."""
        name, replica = replica.pilot_data, replica._replace(reason=reason)
        reserved = self.reserved.get(name, 0)
        if self.note_whole(replica, adds=adds):
            self.replicas[name] = replica._replace(letter=ReplicaLetter.DONE, owner="", bytes=reserved)
        elif reserved:
            self.replicas[name] = replica._replace(letter=ReplicaLetter.RUNNING, bytes=0)
            self.leases[name] = time.monotonic() + LEASE_S
        else:
            self.replicas[name] = replica._replace(letter=ReplicaLetter.FAILED, owner="")

    def derive(self) -> None:
        """Let the state follow from the replicas, as long as it is not final."""
        if is_final(self.record.state) or not self.replicas:
            return
        wanted = self.record.description.get("number_of_replicas", 1)
        state = State(state_of_replicas(self.replicas.values(), wanted))
        reasons = [replica.reason for replica in self.replicas.values() if replica.reason]
        ended = reasons[0] if reasons and is_final(state) else ""
        self.record = replace(self.record, state=state, reason=ended)


class LocalCatalogue(Catalogue):
    """Keeps records until the process ends."""

    is_shared = False

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._stores: dict[str, PilotDataRecord] = {}
        self._units: dict[str, _Unit] = {}
        self._in_work: dict[str, None] = {}
        """Data units that have not ended and have a replica that is asked for or being made."""

    def add_pilot_data(self, record: PilotDataRecord) -> None:
        """See `Catalogue.add_pilot_data`."""
        with self._changed:
            self._stores.setdefault(record.id, replace(record, state=State.Running))
            self._changed.notify_all()

    def end_pilot_data(self, pilot_data: str, state: State, reason: str = "") -> None:
        """See `Catalogue.end_pilot_data`."""
        with self._changed:
            record = self._stores.get(pilot_data)
            if record is not None and not is_final(record.state):
                self._stores[pilot_data] = replace(record, state=state, reason=reason)
                self._changed.notify_all()

    def pilot_data(self, pilot_data: str) -> PilotDataRecord | None:
        """See `Catalogue.pilot_data`."""
        with self._changed:
            record = self._stores.get(pilot_data)
            return None if record is None else replace(record, used_bytes=self._used(pilot_data))

    def list_pilot_data(self) -> list[str]:
        """See `Catalogue.list_pilot_data`."""
        with self._changed:
            return list(self._stores)

    def add_data_unit(self, record: DataUnitRecord) -> None:
        """See `Catalogue.add_data_unit`."""
        with self._changed:
            self._units.setdefault(record.id, _Unit(replace(record, state=State.Pending)))
            self._changed.notify_all()

    def end_data_unit(self, data_unit: str, state: State, reason: str = "") -> None:
        """See `Catalogue.end_data_unit`."""
        with self._changed:
            unit = self._units.get(data_unit)
            if unit is not None and not is_final(unit.record.state):
                unit.record = replace(unit.record, state=state, reason=reason)
                self._derive(unit)

    def data_unit(self, data_unit: str) -> DataUnitRecord | None:
        """See `Catalogue.data_unit`."""
        with self._changed:
            unit = self._units.get(data_unit)
            return None if unit is None else unit.told()

    def list_data_units(self) -> list[str]:
        """See `Catalogue.list_data_units`."""
        with self._changed:
            return list(self._units)

    def put_files(self, data_unit: str, files: Iterable[FileRecord]) -> None:
        """See `Catalogue.put_files`."""
        with self._changed:
            for file in files:
                self._unit(data_unit).put(file)
            self._changed.notify_all()

    def remove_files(self, data_unit: str, paths: Sequence[str]) -> None:
        """See `Catalogue.remove_files`."""
        with self._changed:
            for path in paths:
                self._unit(data_unit).remove(path)
            self._changed.notify_all()

    def files(self, data_unit: str) -> list[FileRecord]:
        """See `Catalogue.files`."""
        with self._changed:
            return sorted(self._unit(data_unit).files.values())

    def ask(self, data_unit: str, pilot_data: str) -> None:
        """See `Catalogue.ask`."""
        with self._changed:
            unit = self._unit(data_unit)
            known = unit.replicas.get(pilot_data)
            if known is None or not known.is_in_work:
                unit.whole.discard(pilot_data)
                unit.replicas[pilot_data] = ReplicaRecord(data_unit, pilot_data)
                self._derive(unit)

    def asked(self, most: int = 0) -> list[tuple[str, str]]:
        """See `Catalogue.asked`."""
        with self._changed:
            found = [
                (name, replica.pilot_data)
                for name in self._in_work
                for replica in self._units[name].replicas.values()
                if replica.is_in_work
            ]
        return random.sample(found, most) if 0 < most < len(found) else found

    def claim(self, data_unit: str, pilot_data: str, owner: str, size: int, *, adds: bool = False) -> Claim:
        """See `Catalogue.claim`."""
        with self._changed:
            unit = self._open_unit(data_unit, pilot_data)
            replica = unit.replicas.get(pilot_data)
            if replica is None or replica.letter in {ReplicaLetter.FAILED, ReplicaLetter.CANCELED}:
                raise StateError(f"nobody asks for data unit {data_unit} at {pilot_data}")
            if not self._may_have(unit, replica, owner, adds=adds):
                return Claim(granted=False, holder=replica.owner)
            self._reserve(unit, replica._replace(owner=owner), size, adds=adds)
            unit.note_whole(replica, adds=adds)
            unit.replicas[pilot_data] = replica._replace(letter=ReplicaLetter.RUNNING, owner=owner, bytes=0)
            unit.leases[pilot_data] = time.monotonic() + LEASE_S
            self._derive(unit)
            return Claim(granted=True)

    def _may_have(self, unit: _Unit, replica: ReplicaRecord, owner: str, *, adds: bool) -> bool:
        """Return whether a lease can be had."""
        if replica.owner == owner:
            return True
        if adds or replica.letter == ReplicaLetter.DONE:
            return adds and replica.letter == ReplicaLetter.DONE
        return not replica.owner or unit.leases.get(replica.pilot_data, 0.0) <= time.monotonic()

    def renew(self, data_unit: str, pilot_data: str, owner: str, moved: int) -> bool:
        """See `Catalogue.renew`."""
        with self._changed:
            unit, replica = self._held(data_unit, pilot_data, owner)
            if unit is None or replica is None or is_final(unit.record.state):
                return False
            unit.replicas[pilot_data] = replica._replace(bytes=moved)
            unit.leases[pilot_data] = time.monotonic() + LEASE_S
            self._changed.notify_all()
            return True

    def settle(self, record: ReplicaRecord) -> bool:
        """See `Catalogue.settle`."""
        with self._changed:
            unit, replica = self._held(record.data_unit, record.pilot_data, record.owner)
            if unit is None or replica is None:
                return False
            unit.replicas[record.pilot_data] = record._replace(owner="")
            unit.reserved[record.pilot_data] = record.bytes if record.letter == ReplicaLetter.DONE else 0
            self._derive(unit)
            return True

    def forget(self, data_unit: str, pilot_data: str) -> None:
        """See `Catalogue.forget`."""
        with self._changed:
            unit = self._units.get(data_unit)
            if unit is None:
                return
            for table in (unit.replicas, unit.leases, unit.reserved):
                table.pop(pilot_data, None)
            self._derive(unit)

    def wait_for(self, holds: Callable[[], bool], timeout_s: float | None) -> bool:
        """See `Catalogue.wait_for`."""
        with self._changed:
            return self._changed.wait_for(holds, timeout_s)

    def wake(self) -> None:
        """See `Catalogue.wake`."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """See `Catalogue.close`: nothing is held."""

    def _unit(self, data_unit: str) -> _Unit:
        unit = self._units.get(data_unit)
        if unit is None:
            raise unknown("data unit", data_unit)
        return unit

    def _open_unit(self, data_unit: str, pilot_data: str) -> _Unit:
        store, unit = self._stores.get(pilot_data), self._units.get(data_unit)
        if store is None or is_final(store.state):
            raise StateError(f"Pilot-Data {pilot_data} has ended; nothing is put there any more")
        if unit is None or is_final(unit.record.state):
            raise StateError(f"data unit {data_unit} has ended; make a new one")
        return unit

    def _held(self, data_unit: str, pilot_data: str, owner: str) -> tuple[_Unit | None, ReplicaRecord | None]:
        unit = self._units.get(data_unit)
        replica = unit.replicas.get(pilot_data) if unit is not None else None
        held = replica is not None and replica.letter == ReplicaLetter.RUNNING and replica.owner == owner
        return unit, replica if held else None

    def _derive(self, unit: _Unit) -> None:
        """Let follow what follows from changed replicas, and wake who waits."""
        unit.derive()
        self._in_work.pop(unit.record.id, None)
        if not is_final(unit.record.state) and any(one.is_in_work for one in unit.replicas.values()):
            self._in_work[unit.record.id] = None
        self._changed.notify_all()

    def _reserve(self, unit: _Unit, replica: ReplicaRecord, size: int, *, adds: bool) -> None:
        store = self._stores[replica.pilot_data]
        others = self._used(store.id) - unit.reserved.get(store.id, 0)
        if not store.size_bytes or others + size <= store.size_bytes:
            unit.reserved[store.id] = size
            return
        error = no_room(replica, size, others, store.size_bytes)
        unit.refuse(replica, str(error), adds=adds)
        self._derive(unit)
        raise error

    def _used(self, pilot_data: str) -> int:
        return sum(unit.reserved.get(pilot_data, 0) for unit in self._units.values())
