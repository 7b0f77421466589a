"""Makes one replica: the files of a data unit at one Pilot-Data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from pilot_protocol.data_records import FileRecord, ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import CoordinationError, PilotError

from .catalogue import Catalogue, Claim
from .entries import Entry, Item, Outcome
from .errors import CanceledError, NoSpaceError, TransferError
from .job import Job, untold
from .leases import LeaseKeeper
from .moving import first_error, move, present_at
from .origins import Lot
from .plan import make_plan
from .retry import move_with_retries
from .storage import Storage

logger = logging.getLogger(__name__)

FILES_PER_RECORD = 500
"""How many files are told to the catalogue at once."""


@dataclass(frozen=True)
class StagingOrder:
    """What is to be moved.

    Attributes:
        data_unit: Its id.
        pilot_data: Its id.
        owner: Who moves.
        lots: Tells where the files come from, when the lease is held; is given what has arrived before, by path.
        adds: Whether the replica is whole, and gets more files.
        hands_back: Returns whether others shall go on with what has arrived, when it has not gone well.
        on_bytes: Told the number of bytes that have moved since it was last told.
    """

    data_unit: str
    pilot_data: str
    owner: str
    lots: Callable[[dict[str, Entry]], Sequence[Lot]]
    adds: bool = False
    hands_back: Callable[[TransferError], bool] = lambda _error: False
    on_bytes: Callable[[int], None] = untold


class Staging:
    """One replica on its way.

    Args:
        catalogue: Is told how it goes.
        order: What is to be moved.
        open_target: Returns the data unit's own place at the Pilot-Data.
        job: Can be canceled.

    Attributes:
        error: Why the files are not there, once it has run.
        told: How it ended, as the catalogue was told; None when it was not, or had learned it from somebody else.
    """

    def __init__(
        self, catalogue: Catalogue, order: StagingOrder, open_target: Callable[[], Storage], job: Job
    ) -> None:
        self.error: TransferError | None = None
        self.told: ReplicaRecord | None = None
        self._catalogue = catalogue
        self._order = order
        self._open_target = open_target
        self._target: Storage | None = None
        self._job = job
        self._known: dict[str, FileRecord] = {}
        self._lots: Sequence[Lot] = ()
        self._fresh: list[FileRecord] = []

    def run(self) -> bool:
        """Claim the replica, move its files, and tell how it ended; return False when somebody else is doing it.

        Raises:
            CoordinationError: The catalogue cannot be reached.
            StateError: The data unit or the Pilot-Data has ended, or nobody asks for the replica.
        """
        self._know_files()
        try:
            claim = self._claim()
        except NoSpaceError as error:
            logger.warning("replica.refused %s", error, extra={"action": "replica.refused"})
            self.error = error
            self._give_room_back()
            return True
        if not claim.granted:
            return False
        try:
            self._make()
        finally:
            self._close()
        return True

    def _give_room_back(self) -> None:
        """Remove what there is of a replica that has no room any more."""
        if not self._is_ours():
            return
        try:
            self._target = self._open_target()
            self._clean()
        except TransferError as error:
            logger.warning("replica.left %s", error, extra={"action": "replica.left"})
        finally:
            self._close()
        self._settle(ReplicaLetter.FAILED)

    def _close(self) -> None:
        if self._target is not None:
            self._target.close()

    def _claim(self) -> Claim:
        order = self._order
        return self._catalogue.claim(
            order.data_unit, order.pilot_data, order.owner, self._size(), adds=order.adds
        )

    def _make(self) -> None:
        order = self._order
        with LeaseKeeper(
            self._catalogue, order.data_unit, order.pilot_data, order.owner, self._job
        ) as keeper:
            self._job.on_bytes = partial(self._count, keeper)
            try:
                self.error = self._moved()
            except (KeyboardInterrupt, SystemExit):
                self.error = CanceledError("the program was interrupted while it moved files")
                self._clean()
                self._settle(self._letter())
                raise
            letter = self._letter()
            if self.error is not None and letter != ReplicaLetter.PENDING and self._is_ours():
                self._clean()
        self._settle(letter)

    def _count(self, keeper: LeaseKeeper, count: int) -> None:
        keeper.count(count)
        self._order.on_bytes(count)

    def _know_files(self) -> None:
        self._known = {file.path: file for file in self._catalogue.files(self._order.data_unit)}

    def _size(self) -> int:
        return sum(file.size for file in self._known.values() if not file.link)

    def _moved(self) -> TransferError | None:
        """Move everything; return what went wrong. The boundary to adaptors, which may be those of others."""
        try:
            self._target = target = self._open_target()
            present = present_at(target)
            self._lots = self._order.lots(present)
            self._know_files()
            for lot in self._lots:
                error = self._move_lot(lot, target, present)
                if error is not None:
                    return error
            self._tell_files()
        except TransferError as error:
            return error
        except CoordinationError:
            raise
        except PilotError as error:
            return TransferError(str(error))
        except Exception as error:
            logger.exception("replica.defect", extra={"action": "replica.defect"})
            return TransferError(f"a defect of an adaptor, {type(error).__name__}: {error}")
        return None

    def _move_lot(self, lot: Lot, target: Storage, present: dict[str, Entry]) -> TransferError | None:
        with closing(lot.open()) as source:
            plan = make_plan(lot.items, present, target.capabilities)
            proven = self._proven(source, target, plan.unchanged)
            again = [item for item in plan.unchanged if item.target not in proven]
            outcomes = move_with_retries(
                partial(move, source, target, job=self._job), [*plan.items, *again], self._job
            )
            return first_error([*plan.refused, *self._noted(outcomes)])

    def _noted(self, outcomes: Iterator[Outcome]) -> Iterator[Outcome]:
        """Take note of checksums, and yield the outcomes that are errors."""
        for outcome in outcomes:
            if outcome.error is not None:
                yield outcome
            elif outcome.checksum:
                self._note(outcome.item.target, outcome.checksum)

    def _proven(self, source: Storage, target: Storage, unchanged: Sequence[Item]) -> set[str]:
        """Return the files that are at the target already, with the content that they must have."""
        plain = [item for item in unchanged if not (item.entry.link or item.entry.is_folder)]
        if not self._job.verifies or not plain:
            return {item.target for item in unchanged}
        there = target.checksums([item.target for item in plain], self._job)
        unknown = [item.entry.path for item in plain if not item.entry.checksum]
        here = source.checksums(unknown, self._job) if unknown else {}
        proven = {item.target for item in unchanged} - {item.target for item in plain}
        for item in plain:
            expected = item.entry.checksum or here.get(item.entry.path, "")
            if expected and there.get(item.target) == expected:
                self._note(item.target, expected)
                proven.add(item.target)
        return proven

    def _note(self, path: str, checksum: str) -> None:
        known = self._known.get(path)
        if known is not None and known.checksum != checksum:
            self._fresh.append(known._replace(checksum=checksum))
        if len(self._fresh) >= FILES_PER_RECORD:
            self._tell_files()

    def _tell_files(self) -> None:
        if self._fresh:
            self._catalogue.put_files(self._order.data_unit, self._fresh)
            self._fresh = []

    def _settle(self, letter: str) -> None:
        """Tell how it ended. Who learns that the replica was taken away meanwhile removes what has arrived."""
        order, error = self._order, self.error
        # What was whole before keeps its room; who adds files takes those of them away that have not come.
        size = self._size() if letter == ReplicaLetter.DONE else 0
        record = ReplicaRecord(order.data_unit, order.pilot_data, letter, order.owner, size)
        if error is not None:
            action = "handed_back" if letter == ReplicaLetter.PENDING else "failed"
            logger.log(logging.INFO if letter == ReplicaLetter.PENDING else logging.WARNING,
                       "replica.%s %s at %s: %s", action, order.data_unit, order.pilot_data, error,
                       extra={"action": f"replica.{action}"})  # fmt: skip
            record = record._replace(reason=str(error))
        if self._catalogue.settle(record):
            self.told = record
            return
        replica = self._replica()
        if replica is None or replica.letter == ReplicaLetter.CANCELED:
            self._clean()
            self._catalogue.forget(order.data_unit, order.pilot_data)
            self.error = self.error or CanceledError(f"{order.data_unit} was removed from {order.pilot_data}")

    def _letter(self) -> str:
        """Return what becomes of the replica."""
        error = self.error
        if error is None or self._order.adds:
            return ReplicaLetter.DONE  # what it had before it still has
        if self._order.hands_back(error):
            return ReplicaLetter.PENDING
        return ReplicaLetter.CANCELED if isinstance(error, CanceledError) else ReplicaLetter.FAILED

    def _is_ours(self) -> bool:
        """Return whether nobody else has the lease, who may be going on with what has arrived."""
        replica = self._replica()
        return (
            replica is not None
            and replica.letter == ReplicaLetter.RUNNING
            and replica.owner == self._order.owner
        )

    def _replica(self) -> ReplicaRecord | None:
        unit = self._catalogue.data_unit(self._order.data_unit)
        return unit.replicas.get(self._order.pilot_data) if unit is not None else None

    def _clean(self) -> None:
        if self._target is None:
            return
        items = [item for lot in self._lots for item in lot.items]
        try:
            if self._order.adds:
                self._target.discard_many(items)
                self._target.remove_many([item.target for item in items])
            else:
                self._target.remove_all()
        except TransferError as error:
            logger.warning("replica.left %s", error, extra={"action": "replica.left"})
