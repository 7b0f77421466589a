"""Makes one replica after the other, or several at once, and turns whatever goes wrong into their states."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import CoordinationError, PilotError, StateError, TransferError
from pilot_protocol.states import State, is_final

from .catalogue import LEASE_S, Catalogue, store_in
from .choosing import Task
from .entries import Entry
from .errors import AccessDeniedError, CanceledError, ConnectionLostError, LoginError
from .job import Job, Pace
from .lease_watch import Replica
from .origins import Lot, lot_of_replica
from .replicas import open_replica
from .staging import Staging, StagingOrder
from .staging_listener import StagingListener
from .takeover import lots_left

logger = logging.getLogger(__name__)

UNREACHABLE = (AccessDeniedError, ConnectionLostError, LoginError)
"""Errors that somebody else, who is elsewhere or somebody else, may not have."""


TRIED_AGAIN_S = 600.0
"""How long a replica is left to others that could not be made because of one of these: a host counts failed logins.

Not less than `LEASE_S`, after which a stager looks again at what it has tried.
"""


class Maker:
    """Makes replicas. May be used by several threads.

    Args:
        catalogue: Knows them.
        listener: Is told of them.
        is_own: Returns whether this process has asked for a replica.
        clock: Seconds that only go up.

    Attributes:
        is_canceled: Whether all is canceled.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        listener: StagingListener,
        is_own: Callable[[Replica], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_canceled = False
        self._catalogue = catalogue
        self._listener = listener
        self._is_own = is_own
        self._clock = clock
        self._lock = threading.Lock()
        self._hands_back = False
        self._jobs: dict[Job, StagingOrder] = {}
        self._known: dict[str, Sequence[Lot]] = {}
        self._unable: dict[Replica, float] = {}

    @property
    def unable(self) -> frozenset[Replica]:
        """What was tried in vain not long ago, and handed back."""
        with self._lock:
            now = self._clock()
            self._unable = {replica: at for replica, at in self._unable.items() if at > now}
            return frozenset(self._unable)

    def next_s(self) -> float | None:
        """Return in how many seconds something may be tried again; None when nothing was tried in vain."""
        with self._lock:
            return min((max(at - self._clock(), 0.0) for at in self._unable.values()), default=None)

    def keep_known(self, data_units: Collection[str]) -> None:
        """Forget what is known of all other data units."""
        with self._lock:
            self._known = {name: lots for name, lots in self._known.items() if name in data_units}

    def know(self, data_unit: str, lots: Sequence[Lot]) -> None:
        """Take note of where the files of a data unit come from, as long as nobody has it."""
        with self._lock:
            self._known[data_unit] = lots

    def make(self, task: Task, owner: str, pace: Pace | None) -> None:
        """Make a replica, unless somebody else does: the boundary that turns whatever goes wrong into its state.

        Args:
            task: Which one, and how.
            owner: Who moves its files.
            pace: What the transfer keeps to.
        """
        hands_back = partial(self._is_to_hand_back, task)
        order = StagingOrder(*task.replica, owner, partial(self._lots, task), hands_back=hands_back)
        try:
            self._try(order, pace)
        except TransferError:
            pass  # it is in the replica's record
        except StateError as error:
            self._withdraw(task.replica, error)
        except CoordinationError as error:
            # Whoever comes after the lease is over goes on: this process, too.
            logger.error("staging.untold %s: %s", error, task.replica, extra={"action": "staging.untold"})
        except Exception as error:  # noqa: BLE001 - see above
            self._fail(task.replica, owner, error)

    def add(self, replica: Replica, owner: str, lots: Sequence[Lot], on_bytes: Callable[[int], None]) -> None:
        """Bring further files to a replica that is Done, and return when they are there; see `Stager.add`."""
        order = StagingOrder(*replica, owner, lambda _present: lots, adds=True, on_bytes=on_bytes)
        while not self._try(order, None):
            self._await_other(replica)

    def end(self, *, cancel: bool) -> None:
        """Hand back what others have asked for.

        Args:
            cancel: Whether what this process has asked for is canceled, too.
        """
        with self._lock:
            self._hands_back = True
            self.is_canceled = self.is_canceled or cancel
            jobs = [job for job, order in self._jobs.items() if cancel or not self._is_kept(order)]
        for job in jobs:
            job.cancel()

    def give_up(self, replica: Replica, owner: str) -> None:
        """Let a replica be Failed that was asked for and never begun."""
        self._fail(replica, owner, TransferError("staging was stopped"))

    def _is_kept(self, order: StagingOrder) -> bool:
        """Return whether this process has asked for something itself, and does not hand it back."""
        return order.adds or self._is_own((order.data_unit, order.pilot_data))

    def _is_to_hand_back(self, task: Task, error: TransferError) -> bool:
        """Return whether others shall go on with a replica that was not made because of an error."""
        if self._is_own(task.replica):
            return False
        if isinstance(error, CanceledError):
            return self._hands_back
        if not isinstance(error, UNREACHABLE):
            return False
        with self._lock:
            self._unable[task.replica] = self._clock() + TRIED_AGAIN_S
        return True

    def _try(self, order: StagingOrder, pace: Pace | None) -> bool:
        """Make a replica; return False when somebody else is doing it.

        Raises:
            TransferError: It was not made, and is Failed.
            StateError: The data unit or the Pilot-Data has ended, or nobody asks for the replica.
        """
        store = store_in(self._catalogue, order.pilot_data)
        unit = self._catalogue.data_unit(order.data_unit)
        checksum = unit.description.get("checksum", "sha256") if unit is not None else "sha256"
        open_target = partial(open_replica, store, order.data_unit)
        with self._listed(Job(checksum=checksum, bandwidth=pace), order) as job:
            staging = Staging(self._catalogue, order, open_target, job)
            if not staging.run():
                return False
        if staging.told is not None:
            self._listener.ended(staging.told)
        if staging.error is not None:
            raise staging.error
        return True

    def _lots(self, task: Task, present: dict[str, Entry]) -> Sequence[Lot]:
        """Return where the files of a replica come from, now that its lease is held."""
        data_unit = task.replica[0]
        self._listener.begun(data_unit, task.way)
        if task.way.origin is not None:
            return [lot_of_replica(task.way.origin, data_unit, self._catalogue.files(data_unit))]
        with self._lock:
            known = self._known.get(data_unit)
        return lots_left(self._catalogue, data_unit, present) if known is None else known

    def _await_other(self, replica: Replica) -> None:
        """Wait until somebody else has made a replica, or its lease may have run out."""

        def is_over() -> bool:
            unit = self._catalogue.data_unit(replica[0])
            record = unit.replicas.get(replica[1]) if unit is not None else None
            return self.is_canceled or record is None or not record.is_in_work

        self._catalogue.wait_for(is_over, LEASE_S)
        if self.is_canceled:
            raise CanceledError("staging was stopped")

    @contextmanager
    def _listed(self, job: Job, order: StagingOrder) -> Iterator[Job]:
        """List a job among those that can be canceled, for as long as it runs."""
        with self._lock:
            self._jobs[job] = order
            if self.is_canceled or (self._hands_back and not self._is_kept(order)):
                job.cancel()
        try:
            yield job
        finally:
            with self._lock:
                del self._jobs[job]

    def _fail(self, replica: Replica, owner: str, error: Exception) -> None:
        """Let a replica be Failed, unless somebody holds its lease, or it is Done."""
        reason = str(error) if isinstance(error, PilotError) else f"{type(error).__name__}: {error}"
        failed = ReplicaRecord(*replica, ReplicaLetter.FAILED, owner, reason=reason)
        try:
            if self._catalogue.claim(*replica, owner, 0).granted:
                logger.error("replica.failed %s at %s: %s", *replica, reason,
                             exc_info=None if isinstance(error, PilotError) else error,
                             extra={"action": "replica.failed"})  # fmt: skip
                self._catalogue.settle(failed)
                self._listener.ended(failed)
        except StateError as ended:
            self._withdraw(replica, ended)
        except PilotError as also:
            logger.error("staging.untold %s: %s", reason, also, extra={"action": "staging.untold"})

    def _withdraw(self, replica: Replica, error: StateError) -> None:
        """Forget a replica that was asked for just when its Pilot-Data ended; else whoever took it away sees to that."""
        logger.info("staging.needless %s", error, extra={"action": "staging.needless"})
        data_unit, pilot_data = replica
        try:
            store, unit = self._catalogue.pilot_data(pilot_data), self._catalogue.data_unit(data_unit)
            record = unit.replicas.get(pilot_data) if unit is not None else None
            is_waiting = record is not None and record.letter == ReplicaLetter.PENDING
            if store is None or not is_final(store.state) or not is_waiting:
                return
            self._catalogue.forget(data_unit, pilot_data)
            unit = self._catalogue.data_unit(data_unit)
            if unit is not None and not unit.replicas:
                self._catalogue.end_data_unit(data_unit, State.Canceled, str(error))
        except PilotError as also:
            logger.error("staging.untold %s: %s", data_unit, also, extra={"action": "staging.untold"})
