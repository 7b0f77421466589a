"""Chooses what a process makes next, of the replicas that are asked for."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import ProtocolError
from pilot_protocol.states import is_final

from .catalogue import Catalogue, DataUnitRecord, PilotDataRecord
from .endpoints import Endpoint, Endpoints
from .lease_watch import LeaseWatch, Replica
from .staging_listener import StagingListener
from .ways import Here, Obstacle, Way, end_of, way_to

logger = logging.getLogger(__name__)

SAMPLE = 64
"""How many of those that are asked for are looked at first; all of them only if that has come to nothing."""

REFUSALS = 32
"""After how many replicas whose endpoints are busy no further ones are looked at."""

Record = TypeVar("Record")

Scope = Callable[[PilotDataRecord], bool]
"""Says whether replicas at a Pilot-Data are a process's business."""


@dataclass(frozen=True)
class Business:
    """Which replicas a process cares for.

    Attributes:
        own: Those that it has asked for itself.
        busy: Those that it is making.
        unable: Those of others that it has tried in vain not long ago.
        scopes: Which others it makes.
        is_new: Whether leases that are seen for the first time may be ones of long ago.
    """

    own: frozenset[Replica] = frozenset()
    busy: frozenset[Replica] = frozenset()
    unable: frozenset[Replica] = frozenset()
    scopes: tuple[Scope, ...] = ()
    is_new: bool = False


@dataclass(frozen=True)
class Task:
    """A replica to make now. Its endpoints are taken.

    Attributes:
        replica: Which one.
        way: How.
    """

    replica: Replica
    way: Way


class Chooser:
    """Looks at what is asked for. Used by one thread.

    Args:
        catalogue: Knows what is asked for.
        here: This machine.
        endpoints: Bound what is made at once.
        listener: Is told what has to be left to others.
    """

    def __init__(
        self, catalogue: Catalogue, here: Here, endpoints: Endpoints, listener: StagingListener
    ) -> None:
        self._catalogue = catalogue
        self._here = here
        self._endpoints = endpoints
        self._listener = listener
        self._watch = LeaseWatch()
        self._left: dict[Replica, str] = {}
        self._unreadable: dict[str, str] = {}

    def choose(self, business: Business) -> tuple[list[Task], frozenset[Replica] | None]:
        """Return what to make now, and all that is asked for; None for the latter when only some of it was looked at.

        Raises:
            CoordinationError: The catalogue cannot be reached.
        """
        look = _Look(self._catalogue, business, self._told_unreadable)
        asked = self._catalogue.asked(SAMPLE)
        found, is_busy = self._among(asked, look)
        if len(asked) == SAMPLE:
            if found or is_busy:
                return found, None
            asked = self._catalogue.asked()
            found, _ = self._among(asked, look)
        self._watch.keep_only(asked)
        self._left = {replica: self._left[replica] for replica in asked if replica in self._left}
        return found, frozenset(asked)

    def _among(self, asked: list[Replica], look: _Look) -> tuple[list[Task], bool]:
        """Return what to make now, and whether there is more that has to wait for other transfers."""
        random.shuffle(asked)  # several processes would all try the same ones first
        found: list[Task] = []
        try:
            return found, self._take(asked, look, found)
        except BaseException:  # the catalogue is away: nothing is made now
            for task in found:
                self._endpoints.give_back(task.way.ends)
            raise

    def _take(self, asked: list[Replica], look: _Look, found: list[Task]) -> bool:
        refused = 0
        for replica in filter(look.is_wanted, asked):
            end = look.end(replica[1])
            is_full = end is not None and not self._endpoints.has_room(end)
            task = None if is_full else self._task(replica, look)
            if task is not None and self._endpoints.take(task.way.ends):
                found.append(task)
                self._watch.tried(look.replica(replica))
            elif is_full or task is not None:
                refused += 1
            if refused >= REFUSALS:
                break
        return refused > 0

    def next_s(self) -> float | None:
        """Return in how many seconds there may be something to take over; None when that depends on changes only."""
        return self._watch.next_s()

    def _task(self, replica: Replica, look: _Look) -> Task | None:
        data_unit, pilot_data = replica
        unit = look.unit(data_unit)
        if unit is None or is_final(unit.state) or not self._is_free(unit, pilot_data, look):
            return None
        mine = [name for name in unit.replicas if look.is_mine((data_unit, name))]
        way = way_to(unit, pilot_data, look.stores(unit.replicas), self._here, mine)
        if isinstance(way, Way):
            return Task(replica, way)
        self._leave(replica, way)
        return None

    def _is_free(self, unit: DataUnitRecord, pilot_data: str, look: _Look) -> bool:
        """Return whether nobody is making a replica, as far as can be told."""
        replica = unit.replicas.get(pilot_data)
        if replica is None or look.store(pilot_data) is None:
            return False
        if replica.letter == ReplicaLetter.RUNNING:
            return self._watch.may_be_over(replica, is_old=look.business.is_new)
        return replica.letter == ReplicaLetter.PENDING

    def _leave(self, replica: Replica, obstacle: Obstacle) -> None:
        if obstacle.is_elsewhere and self._left.get(replica) != obstacle.reason:
            self._left[replica] = obstacle.reason
            self._listener.left(*replica, obstacle.reason)

    def _told_unreadable(self, name: str, error: Exception) -> None:
        """Tell once that a record is not used: what is asked for beside it is made all the same."""
        if self._unreadable.get(name) != str(error):
            self._unreadable[name] = str(error)
            logger.error("record.unreadable %s: %s", name, error, extra={"action": "record.unreadable"})
            self._listener.troubled(f"{name} is passed over: {error}")


class _Look:
    """What one look has read: each record once. One that cannot be read counts as none."""

    def __init__(
        self, catalogue: Catalogue, business: Business, unreadable: Callable[[str, Exception], None]
    ) -> None:
        self.business = business
        self._unreadable = unreadable
        self._catalogue = catalogue
        self._units: dict[str, DataUnitRecord | None] = {}
        self._stores: dict[str, PilotDataRecord | None] = {}
        self._ends: dict[str, Endpoint | None] = {}

    def is_wanted(self, replica: Replica) -> bool:
        """Return whether a replica is this process's business, and not in its hands already."""
        return self.is_mine(replica) and replica not in self.business.busy

    def is_mine(self, replica: Replica) -> bool:
        """Return whether a replica is this process's business."""
        business = self.business
        if replica in business.own:
            return True
        if replica in business.unable:
            return False
        store = self.store(replica[1]) if business.scopes else None
        return store is not None and any(scope(store) for scope in business.scopes)

    def unit(self, name: str) -> DataUnitRecord | None:
        """Return a data unit."""
        if name not in self._units:
            self._units[name] = self._read(self._catalogue.data_unit, name)
        return self._units[name]

    def store(self, name: str) -> PilotDataRecord | None:
        """Return a Pilot-Data."""
        if name not in self._stores:
            self._stores[name] = self._read(self._catalogue.pilot_data, name)
        return self._stores[name]

    def end(self, name: str) -> Endpoint | None:
        """Return the endpoint that a Pilot-Data is at; worked out once, since many replicas may be asked for there."""
        if name not in self._ends:
            store = self.store(name)
            self._ends[name] = end_of(store) if store is not None else None
        return self._ends[name]

    def stores(self, names: Iterable[str]) -> dict[str, PilotDataRecord]:
        """Return those of some Pilot-Data that there are."""
        found = map(self.store, names)
        return {store.id: store for store in found if store is not None}

    def replica(self, replica: Replica) -> ReplicaRecord:
        """Return a replica that was looked at."""
        unit = self.unit(replica[0])
        return unit.replicas[replica[1]] if unit is not None else ReplicaRecord(*replica)

    def _read(self, read: Callable[[str], Record | None], name: str) -> Record | None:
        """Return a record; none if somebody without the session's key has written it."""
        try:
            return read(name)
        except (ProtocolError, ValueError) as error:  # ValueError: a state that there is not
            self._unreadable(name, error)
            return None
