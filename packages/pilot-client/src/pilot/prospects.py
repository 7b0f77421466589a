"""Whether compute units that have not ended can still get on, so that a wait for them ends by itself.

A unit gets on when a living pilot has taken it, or when one that may take it is large enough; one that waits for
predecessors gets on when they do, one that waits for data when that is being copied. Most waits learn that from memory:
every shape fits somewhere, and no unit reads data. Where it is in doubt, the records say, and one unit that gets on, the
youngest, stands for all until its state, the pilots or the data change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter

from pilot_protocol import reads
from pilot_protocol.messages import UnitRecord
from pilot_protocol.operation import BATCH
from pilot_protocol.states import UnitLetter

from .data_lookup import read_awaited
from .following import follow_pilots
from .pending_reason import pending_reason
from .session import Session
from .tracked_pilot import Shape, TrackedPilot
from .tracker import UnitGroup

Unit = tuple[UnitGroup, int]

STUCK = "the compute units that they wait for wait, too"
"""An obstacle: circles that no program could see as a whole, or units of others that do not get on."""


@dataclass(frozen=True)
class Awaited:
    """Units that somebody waits for.

    Attributes:
        owners: The pilots and compute-data services in whose queues they wait.
        count_open: Returns how many have not ended.
        open_units: Yields those, the youngest first.
    """

    owners: Collection[str]
    count_open: Callable[[], int]
    open_units: Callable[[], Iterable[Unit]]


class Prospects:
    """Of the units of one wait.

    Args:
        session: The units'.
        awaited: The units.
    """

    def __init__(self, session: Session, awaited: Awaited) -> None:
        self._session = session
        self._tracker = session.tracker
        self._awaited = awaited
        self._version = -1
        self._data_version = -1
        self._witness: tuple[UnitGroup, int, int] | None = None
        self._stands_on_data = False
        self._waiting: Unit | None = None
        self._missing = ""
        self.obstacle = ""
        """Why the last unit that was looked at does not get on."""

    def are_in_doubt(self) -> bool:
        """Tell, from memory, whether it takes a look to say that some of the units get on."""
        owners = self._awaited.owners
        if all(
            self._tracker.has_room_for_all(name) and not self._tracker.reads_data(name) for name in owners
        ):
            return False
        return self._version != self._tracker.version or not self._witness_stands()

    def look(self) -> bool:
        """Read the records; returns whether some of the units get on.

        Raises:
            CoordinationError: The server cannot be reached or refuses.
        """
        follow_pilots(self._session)  # another process may have made one that has not been heard of
        self._version, self._data_version = self._tracker.version, self._tracker.data_version
        self._witness, self._waiting, self._stands_on_data = None, None, False
        self.obstacle = self._missing = ""
        if self._gets_on_somewhere(self._awaited.open_units()) or self._predecessors_get_on():
            return True
        self.obstacle = self.obstacle or self._why_stuck()
        return False

    def _why_stuck(self) -> str:
        """Return why units that could run wait; empty when there is none."""
        if self._waiting is None:
            return ""
        return f"{STUCK}: {self._missing}" if self._missing else STUCK

    def _witness_stands(self) -> bool:
        if self._witness is None or (
            self._stands_on_data and self._data_version != self._tracker.data_version
        ):
            return False
        group, number, code = self._witness
        return number < len(group.codes) and group.codes[number] == code

    def _gets_on_somewhere(self, units: Iterable[Unit]) -> bool:
        """Look for a unit that gets on, which becomes the witness; notes one that waits for others and could run.

        A unit without a record is on its way to Redis, or to be brought back there; the watcher knows when it is lost.
        """
        for batch in _batches(units):
            waiting = []
            for unit, record in zip(batch, self._read(batch), strict=True):
                if record is None or self._gets_on(record):
                    return self._is_witness(unit)
                if record.letter == UnitLetter.WAITING and self._fits(record):
                    waiting.append(unit)
            self._waiting = waiting[0] if waiting else self._waiting
            if self._data_comes(waiting):
                return True
        return False

    def _is_witness(self, unit: Unit) -> bool:
        self._witness = (*unit, unit[0].codes[unit[1]])
        return True

    def _data_comes(self, waiting: list[Unit]) -> bool:
        """Look whether all that one of some units reads is there or on its way."""
        by_name = {group.unit_id(number): (group, number) for group, number in waiting}
        if not any(group.reads_data for group, _ in waiting):
            return False
        for name, data in read_awaited(self._session, list(by_name)).items():
            if all(unit.can_come for unit in data):
                self._stands_on_data = True
                return self._is_witness(by_name[name])
            self.obstacle = next((unit.reason for unit in data if unit.is_nowhere), self.obstacle)
            self._missing = next((unit.reason for unit in data if unit.producers), self._missing)
        return False

    def _read(self, batch: list[Unit]) -> list[UnitRecord | None]:
        """Read records, and take what they say: the last news may be on their way."""
        names = [group.unit_id(number) for group, number in batch]
        records = self._session.query(reads.units(self._session.keys, names))
        found = [(*unit, record.letter) for unit, record in zip(batch, records, strict=True) if record]
        for group, said in groupby(found, key=itemgetter(0)):
            self._tracker.settle(group, ((number, letter) for _, number, letter in said))
        return records

    def _gets_on(self, record: UnitRecord) -> bool:
        if record.letter in {UnitLetter.CLAIMED, UnitLetter.STAGING, UnitLetter.RUNNING}:
            pilot = self._tracker.pilots.get(record.pilot)
            return pilot is not None and pilot.is_live
        if record.letter != UnitLetter.READY:
            return False
        if self._fits(record):
            return True
        self.obstacle = pending_reason(record, 0, self._pilots(record))
        return False

    def _fits(self, record: UnitRecord) -> bool:
        shape = Shape.of(record.queue)
        return any(pilot.is_live and pilot.could_run(shape) for pilot in self._pilots(record))

    def _pilots(self, record: UnitRecord) -> list[TrackedPilot]:
        return self._tracker.pilots_for(record.queue.partition("/")[0])

    def _predecessors_get_on(self) -> bool:
        """They may be anybody's: a unit waits in good hope while anything that could be one of them gets on."""
        waiting = self._waiting
        if waiting is None:
            return False
        groups = list(self._tracker.groups.values())
        if self._gets_on_somewhere(unit for group in groups for unit in open_units(group)):
            return True
        return self._strangers_get_on() and self._is_witness(waiting)

    def _strangers_get_on(self) -> bool:
        """Tell whether units that are not followed here have not ended."""
        known = {group.name for group in self._tracker.groups.values()}
        counts = self._session.query(reads.counts(self._session.keys))
        open_letters = {UnitLetter.READY, UnitLetter.CLAIMED, UnitLetter.STAGING, UnitLetter.RUNNING}
        return any(
            found > 0
            for name, letters in counts.items()
            if name not in known
            for letter, found in letters.items()
            if letter in open_letters
        )


def open_units(group: UnitGroup) -> Iterator[Unit]:
    """Yield the units of a group that have not ended, the youngest first."""
    return ((group, number) for number in range(len(group.codes) - 1, -1, -1) if group.is_open(number))


def _batches(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    iterator = iter(units)
    while batch := list(islice(iterator, BATCH)):
        yield batch
