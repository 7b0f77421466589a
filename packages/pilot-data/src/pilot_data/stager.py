"""Makes replicas in the background, and waits where somebody else makes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import count

from pilot_protocol.errors import CoordinationError, PilotError, StateError, TransferError
from pilot_protocol.states import State

from .catalogue import LEASE_S, Catalogue, PilotDataRecord
from .entries import Entry
from .job import Job
from .locations import Location, parse
from .origins import Lot, lot_of_replica
from .registry import open_storage
from .staging import Staging, StagingOrder, choose_source
from .storage import Access
from .takeover import Replica, lots_left, unfinished

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""How many replicas are made at once by one process."""


class Stager:
    """The replicas that this process makes.

    Args:
        catalogue: Knows all replicas.
        owner: Begins the names under which this process holds leases.
    """

    def __init__(self, catalogue: Catalogue, owner: str) -> None:
        self._catalogue = catalogue
        self._owner = owner
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stager")
        self._jobs: set[Job] = set()
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._is_closed = False

    def start(self, data_unit: str, stores: Sequence[str], lots: Sequence[Lot]) -> None:
        """Make replicas in the background, the first one from what the user named, the others from there.

        Args:
            data_unit: Of which replicas are asked for.
            stores: The Pilot-Data that they are to be at.
            lots: Where the files come from; none to take them from a replica that there is.
        """
        self._watched(self._pool.submit(self._make, data_unit, list(stores), list(lots)), data_unit)

    def take_over(self, stores: Sequence[str]) -> None:
        """Finish, in the background, replicas at some Pilot-Data whose makers have ended.

        Whose lease is kept is left alone. Does not keep the process from ending: somebody else can go on.
        """
        found = unfinished(self._catalogue, stores)
        if found:
            threading.Thread(target=self._finish, args=(found,), name="take-over", daemon=True).start()

    def add(self, data_unit: str, store: str, lots: Sequence[Lot]) -> None:
        """Bring further files to a replica, and return when they are there."""
        self._stage(StagingOrder(data_unit, store, self._new_owner(), partial(_these, lots), adds=True))

    def close(self, *, cancel: bool = False) -> None:
        """End, when what was started has ended.

        Args:
            cancel: Whether what was started is canceled.
        """
        with self._lock:
            self._is_closed = self._is_closed or cancel
            jobs = list(self._jobs) if cancel else []
        for job in jobs:
            job.cancel()
        self._pool.shutdown(wait=True, cancel_futures=cancel)

    def _watched(self, future: Future[None], data_unit: str) -> None:
        """Let nothing that goes wrong in the background be lost: it ends the data unit."""

        def look(done: Future[None]) -> None:
            error = None if done.cancelled() else done.exception()
            if error is None:
                return
            logger.error("staging.failed %s: %s", data_unit, error, extra={"action": "staging.failed"})
            try:
                self._catalogue.end_data_unit(data_unit, State.Failed, str(error))
            except PilotError as also:
                logger.error("staging.untold %s: %s", data_unit, also, extra={"action": "staging.untold"})

        future.add_done_callback(look)

    def _make(self, data_unit: str, stores: Sequence[str], lots: Sequence[Lot]) -> None:
        for store in stores:
            unit = self._catalogue.data_unit(data_unit)
            origin = choose_source(unit, store) if unit is not None else None
            found = [self.replica(data_unit, origin)] if origin is not None else lots
            self._stage(StagingOrder(data_unit, store, self._new_owner(), partial(_these, found)))

    def _new_owner(self) -> str:
        """Return a name for one staging: two of this process must not hold the same lease either."""
        return f"{self._owner}-{next(self._numbers)}"

    def _finish(self, replicas: Sequence[Replica]) -> None:
        """Make replicas whose leases are over or end while this goes on."""
        orders = [
            StagingOrder(data_unit, store, self._new_owner(), partial(self._lots_left, data_unit, store))
            for data_unit, store in replicas
        ]
        try:
            while orders := [order for order in orders if not self._is_closed and self._is_asked_for(order)]:
                orders = [order for order in orders if self._tried(order)]
                self._catalogue.wait_for(partial(self._is_over, orders), LEASE_S)
        except CoordinationError as error:
            logger.error("take-over.ended %s", error, extra={"action": "take-over.ended"})

    def _tried(self, order: StagingOrder) -> bool:
        """Try to make a replica; return False when this process cannot."""
        try:
            self._try(order)
            return True
        except TransferError as error:
            logger.error("take-over.failed %s at %s: %s", order.data_unit, order.pilot_data, error,
                         extra={"action": "take-over.failed"})  # fmt: skip
            return False

    def _is_over(self, orders: Sequence[StagingOrder]) -> bool:
        return self._is_closed or not any(map(self._is_asked_for, orders))

    def _lots_left(self, data_unit: str, store: str, present: dict[str, Entry]) -> Sequence[Lot]:
        unit = self._catalogue.data_unit(data_unit)
        origin = choose_source(unit, store) if unit is not None else None
        if origin is not None:
            return [self.replica(data_unit, origin)]
        return lots_left(self._catalogue, data_unit, present)

    def replica(self, data_unit: str, store: str) -> Lot:
        """Return the files of a data unit as a Pilot-Data has them."""
        record = self._store(store)
        return lot_of_replica(
            place_of(record, data_unit), access_of(record), self._catalogue.files(data_unit)
        )

    def _stage(self, order: StagingOrder) -> None:
        """Make a replica, or wait until somebody else has made it."""
        while not self._try(order):
            self._catalogue.wait_for(lambda: not self._is_asked_for(order), LEASE_S)
            if not self._is_asked_for(order):
                return

    def _try(self, order: StagingOrder) -> bool:
        """Make a replica; return False when somebody else is doing it."""
        record = self._store(order.pilot_data)
        unit = self._catalogue.data_unit(order.data_unit)
        checksum = unit.description.get("checksum", "sha256") if unit is not None else "sha256"
        with (
            self._listed(Job(checksum=checksum)) as job,
            closing(open_storage(place_of(record, order.data_unit), access_of(record))) as target,
        ):
            return Staging(self._catalogue, order, target, job).run()

    @contextmanager
    def _listed(self, job: Job) -> Iterator[Job]:
        """List a job among those that can be canceled, for as long as it runs."""
        with self._lock:
            self._jobs.add(job)
            if self._is_closed:
                job.cancel()
        try:
            yield job
        finally:
            with self._lock:
                self._jobs.discard(job)

    def _store(self, store: str) -> PilotDataRecord:
        record = self._catalogue.pilot_data(store)
        if record is None:
            raise StateError(f"there is no Pilot-Data {store} in this catalogue")
        return record

    def _is_asked_for(self, order: StagingOrder) -> bool:
        unit = self._catalogue.data_unit(order.data_unit)
        replica = unit.replicas.get(order.pilot_data) if unit is not None else None
        return replica is not None and replica.is_in_work


def _these(lots: Sequence[Lot], _present: dict[str, Entry]) -> Sequence[Lot]:
    return lots


def place_of(record: PilotDataRecord, data_unit: str) -> Location:
    """Return where a Pilot-Data has, or would have, the files of a data unit."""
    return parse(record.description["service_url"], "service_url").joined(data_unit)


def access_of(record: PilotDataRecord) -> Access:
    """Return how a Pilot-Data is entered."""
    keys = ("userkey", "profile", "endpoint_url", "region")
    return Access(**{key: record.description.get(key, "") for key in keys})
