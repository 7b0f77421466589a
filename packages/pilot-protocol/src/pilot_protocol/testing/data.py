"""Pilot-Data, data units and replicas in memory. Leases of replicas never pass: there is no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

from pilot_protocol.data_records import PilotDataPlace, ReplicaRecord, state_of_replicas

from .data_units import FINAL, MemoryDataUnit, MemoryReplica, MemoryStore


class DataBook:
    """All data of a session.

    Args:
        released: Is told the names of data units, and ``<data unit>@<Pilot-Data>`` of replicas, that may be waited for no
            more.
    """

    def __init__(self, released: Callable[[str], None]) -> None:
        self.units: dict[str, MemoryDataUnit] = {}
        self.stores: dict[str, MemoryStore] = {}
        self._released = released

    def declare_pilot_data(self, name: str, _record: bytes, *place: Any) -> int:
        """Make a Pilot-Data known."""
        self.stores.setdefault(name, MemoryStore(PilotDataPlace(*place)))
        return 1

    def end_pilot_data(self, name: str, state: str, _reason: str) -> int:
        """End a Pilot-Data."""
        store = self.stores.get(name)
        if store is None or store.state in FINAL:
            return 0
        store.state = state
        for data_unit, unit in sorted(self.units.items()):
            if name in unit.replicas and unit.is_asked(name):
                self._released(f"{data_unit}@{name}")
        return 1

    def declare_data_unit(self, name: str, record: bytes, wanted: int) -> int:
        """Make a data unit known."""
        self.units.setdefault(name, MemoryDataUnit(record, wanted))
        return 1

    def end_data_unit(self, name: str, state: str, reason: str) -> int:
        """End a data unit."""
        unit = self.units.get(name)
        if unit is None or unit.is_over:
            return 0
        unit.state, unit.reason = state, reason
        self._tell(name)
        return 1

    def put_files(self, name: str, *files: Any) -> int | None:
        """Add files."""
        unit = self.units.get(name)
        if unit is None:
            return None
        unit.files.update(zip(files[::3], zip(files[1::3], files[2::3])))
        return len(unit.files)

    def remove_files(self, name: str, *paths: bytes) -> int | None:
        """Forget files."""
        unit = self.units.get(name)
        if unit is None:
            return None
        removed = sum(unit.files.pop(path, None) is not None for path in paths)
        for replica in unit.replicas.values():
            if replica.letter == "D":
                replica.moved = replica.reserved = min(replica.moved, unit.size)
        return removed

    def ask_replica(self, name: str, at: str) -> int | None:
        """Ask for a replica."""
        if name not in self.units:
            return None
        self.ask(name, [at])
        return 1

    def ask(self, name: str, stores: Iterable[str]) -> None:
        """Ask for replicas that are not in work."""
        unit = self.units[name]
        for at in stores:
            if at in unit.replicas and unit.replicas[at].is_in_work:
                continue
            unit.replicas.setdefault(at, MemoryReplica(at)).ask()
            self.follow(name)

    def claim_replica(self, name: str, at: str, owner: str, size: int, most: int, *_rest: Any) -> list[str]:
        """Take the lease of a replica."""
        store, unit = self.stores.get(at), self.units.get(name)
        if store is None or store.state in FINAL:
            return ["store", ""]
        if unit is None or unit.is_over:
            return ["unit", ""]
        replica = unit.replicas.get(at)
        if replica is None or replica.letter in "FC":
            return ["unasked", ""]
        if replica.letter == "D":
            return ["done", ""]
        if replica.owner not in {"", owner}:
            return ["held", replica.owner]
        others = self.used(at) - replica.reserved
        if most and others + size > most:
            replica.letter, replica.owner = ("R", owner) if replica.reserved else ("F", "")
            self.follow(name)
            return ["full", str(others)]
        replica.reserved, replica.letter, replica.owner, replica.moved = size, "R", owner, 0
        replica.lacks_files = False
        self.follow(name)
        return ["granted", ""]

    def renew_replica(self, name: str, at: str, owner: str, moved: int, _lease_ms: int) -> int:
        """Keep the lease of a replica."""
        unit = self.units.get(name)
        replica = None if unit is None or unit.is_over else unit.replicas.get(at)
        if replica is None or replica.letter != "R" or replica.owner != owner:
            return 0
        replica.moved = moved
        return 1

    def settle_replica(self, name: str, at: str, owner: str, letter: str, size: int, reason: str) -> int:
        """Set how a replica ended."""
        replica = self.units[name].replicas.get(at) if name in self.units else None
        if replica is None or replica.letter != "R" or replica.owner != owner:
            return 0
        replica.letter, replica.owner, replica.moved, replica.reason = letter, "", size, reason
        replica.reserved = size if letter == "D" else 0
        if letter == "D" and replica.lacks_files:
            replica.ask()
        self.follow(name)
        return 1

    def forget_replica(self, name: str, at: str) -> int:
        """Forget a replica."""
        if name not in self.units or self.units[name].replicas.pop(at, None) is None:
            return 0
        self.follow(name)
        self._released(f"{name}@{at}")
        return 1

    def deliver(self, name: str, at: str, files: list[Any]) -> list[str]:
        """Add files that a unit has left somewhere."""
        unit, store = self.units.get(name), self.stores.get(at)
        if unit is None or unit.is_over:
            return ["unit", ""]
        if store is None or store.state in FINAL:
            return ["store", ""]
        whole_first = sorted(unit.replicas.values(), key=lambda replica: replica.letter != "D")
        homes = [r.at for r in whole_first if r.letter not in "FC" and self._is_running(r.at)]
        if homes and homes[0] != at:
            return ["elsewhere", homes[0]]
        if at in unit.replicas and unit.replicas[at].letter == "R":
            return ["busy", unit.replicas[at].owner]
        told = dict(zip(files[::3], zip(files[1::3], files[2::3])))
        grown = sum(size - unit.files.get(path, (0,))[0] for path, (size, _) in told.items())
        most = store.place.size_limit
        if most and grown > 0 and self.used(at) + grown > most:
            return ["full", str(self.used(at))]
        self._take(unit, at, told, grown)
        self.follow(name)
        return ["delivered", ""]

    def _take(self, unit: MemoryDataUnit, at: str, told: dict[bytes, tuple[int, bytes]], grown: int) -> None:
        replica = unit.replicas.setdefault(at, MemoryReplica(at, "F"))
        if replica.letter != "D":
            replica.letter = "P" if unit.files else "D"
        is_new = any(unit.files.get(path) != file for path, file in told.items())
        unit.files.update(told)
        replica.reason = ""
        replica.reserved = max(replica.reserved + grown, 0)
        replica.moved = replica.reserved if replica.letter == "D" else replica.moved
        for other in unit.replicas.values():
            if is_new and other is not replica:
                other.lacks_files = True
                if other.letter == "D":
                    other.ask()

    def read_data_unit(self, name: str) -> list[Any]:
        """Return all that is known of a data unit."""
        unit = self.units.get(name)
        if unit is None:
            return [None, None, None, 0, None, None, None]
        replicas = " ".join(
            f"{r.at}|{r.letter}|{r.owner}|0|{r.moved}|{r.reserved}|{2 * r.lacks_files}|{r.reason}"
            for r in unit.replicas.values()
        )
        state = f"{unit.state}|{unit.wanted}|{unit.reason}"
        return [unit.record, state, unit.size, len(unit.files), replicas, unit.producers, unit.spoilt_by]

    def add_producer(self, name: str) -> None:
        """Count a unit that is to add files."""
        self.units[name].producers += 1
        if self.units[name].producers == 1:
            self.follow(name)

    def end_producer(self, name: str, unit: str, letter: str, targets: list[tuple[float, str]]) -> None:
        """Count one off; ``targets`` are room and name of Pilot-Data where further replicas may be."""
        data_unit = self.units[name]
        is_spoilt = letter != "D" and not data_unit.spoilt_by
        data_unit.spoilt_by = unit if is_spoilt else data_unit.spoilt_by
        data_unit.producers -= 1
        if data_unit.producers:
            if is_spoilt:
                self._released(name)
            return
        self._ask_missing(data_unit, targets)
        self.follow(name)

    def _ask_missing(self, unit: MemoryDataUnit, targets: list[tuple[float, str]]) -> None:
        missing = unit.wanted - sum(r.letter in "DPR" for r in unit.replicas.values())
        if not unit.has_whole or unit.is_over or missing <= 0:
            return
        free = [(-room, at) for room, at in targets if at not in unit.replicas and room >= unit.size]
        unit.replicas.update((at, MemoryReplica(at)) for _, at in sorted(free)[:missing])

    def follow(self, name: str) -> None:
        """Let the state of a data unit follow from its replicas, and tell who waits."""
        unit = self.units[name]
        self._tell(name)
        if unit.is_over or not (unit.replicas or unit.producers):
            return
        records = [ReplicaRecord(name, r.at, r.letter) for r in unit.replicas.values()]
        unit.state = state_of_replicas(records, unit.wanted, unit.producers)
        reasons = (r.reason for r in unit.replicas.values() if r.reason)
        unit.reason = next(reasons, "") if unit.state in FINAL else ""

    def asked(self) -> list[str]:
        """Return the replicas that somebody should make, as ``<data unit> <Pilot-Data>``."""
        return [
            f"{name} {at}" for name, unit in self.units.items() for at in unit.replicas if unit.is_asked(at)
        ]

    def _tell(self, name: str) -> None:
        unit = self.units[name]
        for replica in unit.replicas.values():
            if not unit.is_asked(replica.at):
                self._released(f"{name}@{replica.at}")
        self._released(name)

    def _is_running(self, store: str) -> bool:
        return store in self.stores and self.stores[store].state not in FINAL

    def used(self, store: str) -> int:
        """Return the bytes that replicas have reserved at a Pilot-Data."""
        return sum(unit.replicas[store].reserved for unit in self.units.values() if store in unit.replicas)

    def room(self, store: str) -> float:
        """Return the bytes that a Pilot-Data may still get."""
        most = self.stores[store].place.size_limit
        return most - self.used(store) if most else inf
