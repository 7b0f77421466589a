"""Makes one replica: the files of a data unit at one Pilot-Data."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from pilot_protocol.data_records import FileRecord, ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import CoordinationError, PilotError, StateError
from pilot_protocol.states import is_final

from .catalogue import Catalogue, DataUnitRecord
from .entries import Entry, Item, Outcome
from .errors import CanceledError, NoSpaceError, TransferError
from .job import Job
from .leases import LeaseKeeper
from .moving import move, present_at
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
        adds: Whether the replica was whole before, and gets more files.
    """

    data_unit: str
    pilot_data: str
    owner: str
    lots: Callable[[dict[str, Entry]], Sequence[Lot]]
    adds: bool = False


class Staging:
    """One replica on its way.

    Args:
        catalogue: Is told how it goes.
        order: What is to be moved.
        target: The data unit's own place at the Pilot-Data.
        job: Can be canceled.
    """

    def __init__(self, catalogue: Catalogue, order: StagingOrder, target: Storage, job: Job) -> None:
        self._catalogue = catalogue
        self._order = order
        self._target = target
        self._job = job
        self._known: dict[str, FileRecord] = {}
        self._lots: Sequence[Lot] = ()
        self._fresh: list[FileRecord] = []

    def run(self) -> bool:
        """Claim the replica, move its files, and tell how it ended; return False when somebody else is doing it.

        Raises:
            CoordinationError: The catalogue cannot be reached.
        """
        order = self._order
        self._know_files()
        try:
            claim = self._catalogue.claim(order.data_unit, order.pilot_data, order.owner, self._size())
        except (NoSpaceError, StateError) as error:  # no room, or nobody wants it any more
            logger.warning("replica.refused %s", error, extra={"action": "replica.refused"})
            return True
        if not claim.granted:
            return False
        with LeaseKeeper(
            self._catalogue, order.data_unit, order.pilot_data, order.owner, self._job
        ) as keeper:
            self._job.on_bytes = keeper.count
            self._settle(self._moved())
        return True

    def _know_files(self) -> None:
        self._known = {file.path: file for file in self._catalogue.files(self._order.data_unit)}

    def _size(self) -> int:
        return sum(file.size for file in self._known.values() if not file.link)

    def _moved(self) -> TransferError | None:
        """Move everything; return what went wrong."""
        try:
            present = present_at(self._target)
            self._lots = self._order.lots(present)
            self._know_files()
            for lot in self._lots:
                error = self._move_lot(lot, present)
                if error is not None:
                    return error
            self._tell_files()
        except TransferError as error:
            return error
        except CoordinationError:
            raise
        except PilotError as error:
            return TransferError(str(error))
        return None

    def _move_lot(self, lot: Lot, present: dict[str, Entry]) -> TransferError | None:
        source = lot.open()
        try:
            plan = make_plan(lot.items, present, self._target.capabilities)
            proven = self._proven(source, plan.unchanged)
            again = [item for item in plan.unchanged if item.target not in proven]
            outcomes = move_with_retries(
                partial(move, source, self._target, job=self._job), [*plan.items, *again], self._job
            )
            return self._first_error([*plan.refused], outcomes)
        finally:
            source.close()

    def _first_error(self, refused: Sequence[Outcome], outcomes: Iterator[Outcome]) -> TransferError | None:
        failed = list(refused)
        for outcome in outcomes:
            if outcome.error is not None:
                failed.append(outcome)
            elif outcome.checksum:
                self._note(outcome.item.target, outcome.checksum)
        if not failed:
            return None
        first = failed[0].error
        more = f" (and {len(failed) - 1} more files)" if len(failed) > 1 else ""
        return TransferError(f"{first}{more}")

    def _proven(self, source: Storage, unchanged: Sequence[Item]) -> set[str]:
        """Return the files that are at the target already, with the content that they must have."""
        plain = [item for item in unchanged if not (item.entry.link or item.entry.is_folder)]
        if not self._job.verifies or not plain:
            return {item.target for item in unchanged}
        there = self._target.checksums([item.target for item in plain], self._job)
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

    def _settle(self, error: TransferError | None) -> None:
        """Tell how it ended; what a failure or a cancellation has left is removed first."""
        order = self._order
        whole = ReplicaRecord(
            order.data_unit, order.pilot_data, ReplicaLetter.DONE, order.owner, self._size()
        )
        if error is None:
            self._catalogue.settle(whole)
            return
        if isinstance(error, CanceledError) and not self._is_over():
            return  # somebody else has the lease, and goes on with what has arrived
        logger.warning("replica.failed %s at %s: %s", order.data_unit, order.pilot_data, error,
                       extra={"action": "replica.failed"})  # fmt: skip
        self._clean()
        if order.adds:  # what it had before it still has; who adds takes the new files out of the catalogue
            self._catalogue.settle(whole._replace(reason=str(error)))
            return
        letter = ReplicaLetter.CANCELED if isinstance(error, CanceledError) else ReplicaLetter.FAILED
        self._catalogue.settle(whole._replace(letter=letter, bytes=0, reason=str(error)))

    def _is_over(self) -> bool:
        unit = self._catalogue.data_unit(self._order.data_unit)
        store = self._catalogue.pilot_data(self._order.pilot_data)
        return unit is None or store is None or is_final(unit.state) or is_final(store.state)

    def _clean(self) -> None:
        items = [item for lot in self._lots for item in lot.items]
        try:
            if self._order.adds:
                self._target.discard_many(items)
                self._target.remove_many([item.target for item in items])
            else:
                self._target.remove_all()
        except TransferError as error:
            logger.warning("replica.left %s", error, extra={"action": "replica.left"})


def choose_source(unit: DataUnitRecord, besides: str) -> str | None:
    """Return a Pilot-Data that holds a data unit whole; None when there is none.

    Args:
        unit: The data unit.
        besides: One that is not meant.
    """
    done = [
        name
        for name, replica in unit.replicas.items()
        if replica.letter == ReplicaLetter.DONE and name != besides
    ]
    return min(done, default=None)
