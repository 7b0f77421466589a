"""Whether compute units that have not ended can still get on, so that a wait for them ends by itself.

A unit gets on when a living pilot has taken it, or when one that may take it is large enough; one that waits for
predecessors gets on when they do. Most waits learn that from memory: every shape fits somewhere. Where it is in doubt,
the records say, and one unit that gets on, the youngest, stands for all until its state or the pilots change.
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

from .following import follow_pilots
from .pending_reason import pending_reason
from .session import Session
from .tracked_pilot import Shape, TrackedPilot
from .tracker import UnitGroup

Unit = tuple[UnitGroup, int]


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
        self._witness: tuple[UnitGroup, int, int] | None = None
        self.obstacle = ""
        """Why the last unit that was looked at does not get on."""

    def are_in_doubt(self) -> bool:
        """Tell, from memory, whether it takes a look to say that some of the units get on."""
        if all(self._tracker.has_room_for_all(owner) for owner in self._awaited.owners):
            return False
        return self._version != self._tracker.version or not self._witness_stands()

    def look(self) -> bool:
        """Read the records; returns whether some of the units get on.

        Raises:
            CoordinationError: The server cannot be reached or refuses.
        """
        follow_pilots(self._session)  # another process may have made one that has not been heard of
        self._version = self._tracker.version
        self._witness = None
        waiting = self._find(self._awaited.open_units())
        if waiting is not None and self._witness is None:
            self._look_at_predecessors(waiting)
        return self._witness is not None

    def _witness_stands(self) -> bool:
        if self._witness is None:
            return False
        group, number, code = self._witness
        return number < len(group.codes) and group.codes[number] == code

    def _find(self, units: Iterable[Unit]) -> Unit | None:
        """Look for a witness; returns a unit that waits for predecessors and could run, if there is one.

        A unit without a record is on its way to Redis, or to be brought back there; the watcher knows when it is lost.
        """
        waiting = None
        for batch in _batches(units):
            for unit, record in zip(batch, self._read(batch), strict=True):
                if record is None or self._gets_on(record):
                    self._witness = (*unit, unit[0].codes[unit[1]])
                    return waiting
                if record.letter == UnitLetter.WAITING and self._fits(record):
                    waiting = unit
        return waiting

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

    def _look_at_predecessors(self, waiting: Unit) -> None:
        """They may be anybody's: a unit waits in good hope while anything that could be one of them gets on."""
        groups = list(self._tracker.groups.values())
        self._find(unit for group in groups for unit in open_units(group))
        if self._witness is None and self._strangers_get_on():
            self._witness = (*waiting, waiting[0].codes[waiting[1]])

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
