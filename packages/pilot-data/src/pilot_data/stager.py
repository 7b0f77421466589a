"""Makes replicas in the background, and waits where somebody else makes them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count

from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import CoordinationError, PilotError, StateError, TransferError
from pilot_protocol.states import State, is_final

from .catalogue import LEASE_S, Catalogue, PilotDataRecord
from .entries import Entry
from .job import Job, untold
from .origins import Lot, lot_of_replica
from .replicas import open_replica
from .staging import Staging, StagingOrder, choose_source
from .takeover import Replica, lots_left, unfinished

logger = logging.getLogger(__name__)

AT_ONCE = 4
"""How many replicas are made at once by one process."""

LOOK_S = 1.0
"""How often who waits for a replica of somebody else looks whether it shall stop."""


class Stager:
    """The replicas that this process makes.

    Args:
        catalogue: Knows all replicas.
        owner: How the leases of this process begin; each replica that it makes has one of its own.
    """

    def __init__(self, catalogue: Catalogue, owner: str) -> None:
        self._catalogue = catalogue
        self._owner = owner
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stager")
        self._jobs: set[Job] = set()
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._is_closed = False

    def start(self, data_unit: str, stores: Sequence[str], lots: Sequence[Lot] | None) -> None:
        """Make replicas in the background, the first one from what the user named, the others from there.

        Args:
            data_unit: Of which replicas are asked for.
            stores: The Pilot-Data that they are to be at.
            lots: Where the files come from; None to take them from a replica, as soon as there is one.
        """
        future = self._pool.submit(self._make, data_unit, tuple(stores), lots)
        future.add_done_callback(partial(self._look, data_unit, tuple(stores)))

    def take_over(self, stores: Sequence[str]) -> None:
        """Finish, in the background, replicas at some Pilot-Data whose makers have ended.

        Whose lease is kept is left alone. Does not keep the process from ending: somebody else can go on.
        """
        found = unfinished(self._catalogue, stores)
        if found:
            threading.Thread(target=self._finish, args=(found,), name="take-over", daemon=True).start()

    def add(
        self, data_unit: str, store: str, lots: Sequence[Lot], on_bytes: Callable[[int], None] = untold
    ) -> None:
        """Bring further files to a replica that is Done, and return when they are there.

        Args:
            data_unit: Its id.
            store: The Pilot-Data that has the replica.
            lots: Where the files come from.
            on_bytes: Told the number of bytes that have moved since it was last told.

        Raises:
            TransferError: They are not there, and the replica is as it was.
            StateError: The data unit or the Pilot-Data has ended.
        """
        self._stage(replace(self._order(data_unit, store, lots), adds=True, on_bytes=on_bytes))

    def replica(self, data_unit: str, store: str) -> Lot:
        """Return the files of a data unit as a Pilot-Data has them."""
        record = self._store(store)
        return lot_of_replica(record, data_unit, self._catalogue.files(data_unit))

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

    def _order(self, data_unit: str, store: str, lots: Sequence[Lot]) -> StagingOrder:
        return StagingOrder(data_unit, store, self._new_owner(), partial(_these, lots))

    def _new_owner(self) -> str:
        """Return a name for one staging: two of this process must not hold the same lease either."""
        return f"{self._owner}-{next(self._numbers)}"

    def _look(self, data_unit: str, stores: Sequence[str], done: Future[None]) -> None:
        """Give up what was never begun, because it was canceled before."""
        if done.cancelled():
            for store in stores:
                self._give_up(self._order(data_unit, store, ()), TransferError("staging was stopped"))

    def _make(self, data_unit: str, stores: Sequence[str], lots: Sequence[Lot] | None) -> None:
        """Make one replica after the other: the boundary that turns whatever goes wrong with one into its state."""
        for store in stores:
            order = self._order(data_unit, store, ())
            try:
                lots_now = self._origin(data_unit, store, lots)
                order = self._order(data_unit, store, lots_now)
                self._stage(order)
            except TransferError:
                continue  # it is in the replica's record
            except StateError as error:
                self._withdraw(order, error)
            except Exception as error:  # noqa: BLE001 - see above
                self._give_up(order, error)

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
        """Try to make a replica; return False when this process cannot, or nobody wants it any more."""
        try:
            self._try(order)
            return True
        except (TransferError, StateError) as error:
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

    def _origin(self, data_unit: str, store: str, lots: Sequence[Lot] | None) -> Sequence[Lot]:
        """Return where files come from: the nearest replica, else what the user named."""
        if lots is None:
            while not self._catalogue.wait_for(lambda: self._is_decided(data_unit, store), LOOK_S):
                if self._is_closed:
                    raise PilotError("staging was stopped")
        unit = self._catalogue.data_unit(data_unit)
        origin = choose_source(unit, store) if unit is not None else None
        if origin is not None:
            return [self.replica(data_unit, origin)]
        if lots is None:
            raise PilotError(f"no Pilot-Data has data unit {data_unit} whole, to copy it from there")
        return lots

    def _is_decided(self, data_unit: str, store: str) -> bool:
        """Return whether there is a replica to copy from, or no hope for one."""
        unit = self._catalogue.data_unit(data_unit)
        if unit is None or is_final(unit.state) or choose_source(unit, store) is not None:
            return True
        return not any(replica.is_in_work for name, replica in unit.replicas.items() if name != store)

    def _stage(self, order: StagingOrder) -> None:
        """Make a replica, or wait until somebody else has made it.

        Raises:
            TransferError: It was not made, and is Failed.
            StateError: The data unit or the Pilot-Data has ended, or nobody asks for the replica.
        """
        while True:
            if order.adds:
                self._catalogue.ask(order.data_unit, order.pilot_data)
            if self._try(order):
                return
            self._await_other(order)
            if not order.adds and not self._is_asked_for(order):
                return

    def _try(self, order: StagingOrder) -> bool:
        """Make a replica; return False when somebody else is doing it.

        Raises:
            TransferError: As `_stage`.
            StateError: As `_stage`.
        """
        record = self._store(order.pilot_data)
        unit = self._catalogue.data_unit(order.data_unit)
        checksum = unit.description.get("checksum", "sha256") if unit is not None else "sha256"
        open_target = partial(open_replica, record, order.data_unit)
        with self._listed(Job(checksum=checksum, on_bytes=order.on_bytes)) as job:
            staging = Staging(self._catalogue, order, open_target, job)
            if not staging.run():
                return False
        if staging.error is not None:
            raise staging.error
        return True

    def _await_other(self, order: StagingOrder) -> None:
        """Wait until somebody else has made a replica, or its lease may have run out."""
        for _ in range(round(LEASE_S / LOOK_S)):
            if self._catalogue.wait_for(lambda: not self._is_asked_for(order), LOOK_S):
                return
            if self._is_closed:
                raise PilotError("staging was stopped")

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

    def _give_up(self, order: StagingOrder, error: Exception) -> None:
        """Let a replica be Failed, unless somebody holds its lease, or it is Done."""
        reason = str(error) if isinstance(error, PilotError) else f"{type(error).__name__}: {error}"
        failed = ReplicaRecord(
            order.data_unit, order.pilot_data, ReplicaLetter.FAILED, order.owner, reason=reason
        )
        try:
            if self._catalogue.claim(order.data_unit, order.pilot_data, order.owner, 0).granted:
                logger.error("replica.failed %s at %s: %s", order.data_unit, order.pilot_data, reason,
                             exc_info=None if isinstance(error, PilotError) else error,
                             extra={"action": "replica.failed"})  # fmt: skip
                self._catalogue.settle(failed)
        except StateError as ended:
            self._withdraw(order, ended)
        except PilotError as also:
            logger.error("staging.untold %s: %s", reason, also, extra={"action": "staging.untold"})

    def _withdraw(self, order: StagingOrder, error: StateError) -> None:
        """Forget a replica that was asked for just when its Pilot-Data ended; else whoever took it away sees to that."""
        logger.info("staging.needless %s", error, extra={"action": "staging.needless"})
        try:
            store = self._catalogue.pilot_data(order.pilot_data)
            unit = self._catalogue.data_unit(order.data_unit)
            replica = unit.replicas.get(order.pilot_data) if unit is not None else None
            is_waiting = replica is not None and replica.letter == ReplicaLetter.PENDING
            if store is not None and is_final(store.state) and is_waiting:
                self._catalogue.forget(order.data_unit, order.pilot_data)
            unit = self._catalogue.data_unit(order.data_unit)
            if unit is not None and not unit.replicas:
                self._catalogue.end_data_unit(order.data_unit, State.Canceled, str(error))
        except PilotError as also:
            logger.error("staging.untold %s: %s", order.data_unit, also, extra={"action": "staging.untold"})

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
