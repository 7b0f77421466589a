"""Adds the outputs of a compute unit to data units: puts them at each one's home, then tells the catalogue."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pilot_data import markers
from pilot_data.adaptors.file import FileStorage
from pilot_data.catalogue import LEASE_S, DataUnitRecord, PilotDataRecord, no_room, store_in, unit_in
from pilot_data.entries import Entry
from pilot_data.errors import CanceledError, StaleAttemptError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.storage import Access
from pilot_protocol.data_ops import DeliveryAnswer
from pilot_protocol.data_records import FileRecord, ReplicaLetter, ReplicaRecord
from pilot_protocol.errors import CoordinationError, PilotError, StateError, TransferError
from pilot_protocol.states import State

from .deliveries import Attempt
from .file_transfers import outgoing
from .gathering import meant, outputs_in
from .messages import Request, data_unit_id
from .nearness import best_home
from .node import Node
from .putting import Putting

logger = logging.getLogger(__name__)

DELIVERED = "delivered"
OVER = "over"
"""The attempt has ended, so this was delivered before."""
_LEFT = (CanceledError, CoordinationError, StaleAttemptError)
"""After which what was delivered stays: this is said again, or another attempt may have delivered the same."""
_GONE = frozenset({ReplicaLetter.FAILED, ReplicaLetter.CANCELED})
"""Of replicas that never came: nothing is at home there."""


@dataclass(frozen=True)
class Output:
    """What one data unit gets.

    Attributes:
        data_unit: Its id.
        entries: Of the unit's folder.
    """

    data_unit: str
    entries: Sequence[Entry]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(entry.bytes_to_move for entry in self.entries)


def stage_out(node: Node, request: Request, job: Job) -> None:
    """Deliver everything.

    Args:
        node: This machine.
        request: What is wanted.
        job: Is told how many bytes have moved.

    Raises:
        PilotError: A pattern means nothing, a data unit could not get its files, or a transfer failed; then none of the data
            units has any of them.
    """
    folder = FileStorage(Location("file", path=request.folder), Access())
    entries = outputs_in(folder, node.cache_folder) if request.data else []
    ids = {data_unit_id(name, node.settings.session): names for name, names in request.data.items()}
    outputs = [Output(name, meant(entries, patterns, name)) for name, patterns in ids.items()]
    delivered: list[_Delivering] = []
    try:
        for output in outputs:
            delivering = _Delivering(node, request, folder, output, job)
            delivering.run()
            delivered.append(delivering)
        for text in request.transfers:
            outgoing(text, request.folder, node.settings.sandbox, job)
    except _LEFT:
        raise
    except PilotError:
        for delivering in delivered:
            delivering.take_back()
        raise


class _Delivering:
    """One data unit's outputs."""

    def __init__(self, node: Node, request: Request, folder: FileStorage, output: Output, job: Job) -> None:
        self._node = node
        self._request = request
        self._folder = folder
        self._output = output
        self._begun = self._unit()
        self._put_last: tuple[PilotDataRecord, Sequence[FileRecord]] | None = None
        self._job = replace(job, checksum=self._begun.description.get("checksum", "sha256"))

    def run(self) -> None:
        """Find out where the files go, before they move and once more when they are told of."""
        home = self._home(self._begun)
        while True:
            self._check_entrance(home)
            answer = self._say(home, ())
            if answer.verdict == DELIVERED:
                answer = self._put(home)
            if answer.verdict in {DELIVERED, OVER}:
                return
            home = self._next(home, answer)

    def _put(self, home: PilotDataRecord) -> DeliveryAnswer:
        """Put the files and tell of them; those that are not taken are taken away again."""
        self._check_room(home)
        with self._putting(home, self._job) as putting:
            try:
                files = putting.run(self._job)
                answer = self._say(home, files)
            except BaseException:
                putting.undo(self._known())
                raise
            if answer.verdict != DELIVERED:
                self._withdraw(files)
                putting.undo(self._known())
        self._put_last = home, files
        return answer

    def take_back(self) -> None:
        """Let the data unit have nothing of what was delivered."""
        if self._put_last is None:
            return
        home, files = self._put_last
        with self._putting(home, Job()) as putting:
            self._node.catalogue.remove_files(self._output.data_unit, self._ours(files))
            putting.undo(self._known())

    @contextmanager
    def _putting(self, home: PilotDataRecord, job: Job) -> Iterator[Putting]:
        request, output = self._request, self._output
        is_own = request.folder == f"{self._node.settings.sandbox}/{request.unit}"
        putting = Putting(self._folder, home, output.data_unit, output.entries, is_settled=is_own)
        paths = (entry.path for entry in output.entries)
        with putting, self._node.turns.taken(output.data_unit, paths, job):
            yield putting

    def _next(self, home: PilotDataRecord, answer: DeliveryAnswer) -> PilotDataRecord:
        """Return where to try next, when there is anything to try.

        Raises:
            StateError: There is nothing.
            StaleAttemptError: The attempt is not this pilot's.
            NoSpaceError: The home is full.
        """
        name = self._output.data_unit
        if answer.verdict == "elsewhere":
            return store_in(self._node.catalogue, answer.detail)
        if answer.verdict == "busy":
            self._await(home.id)
            return home
        if answer.verdict == "store" and (other := self._home(self._unit())).id != home.id:
            return other
        if answer.verdict == "full":
            raise self._full(home, answer.detail)
        refused = StaleAttemptError if answer.verdict == "stale" else StateError
        raise refused(_REFUSALS[answer.verdict].format(data_unit=name, home=home.id, unit=self._request.unit))

    def _say(self, home: PilotDataRecord, files: Sequence[FileRecord]) -> DeliveryAnswer:
        self._job.check()
        request, settings = self._request, self._node.settings
        attempt = Attempt(settings.pilot, self._node.epoch, request.unit, request.attempt)
        return self._node.catalogue.deliver(attempt, self._output.data_unit, home.id, files)

    def _home(self, unit: DataUnitRecord) -> PilotDataRecord:
        """Return where the data unit is at home: at its first replica, whole ones first; without any, the best place."""
        replicas = sorted(unit.replicas.values(), key=lambda one: one.letter != ReplicaLetter.DONE)
        first = self._running(one.pilot_data for one in replicas if one.letter not in _GONE)
        if first:
            return first[0]
        stores = self._running(self._node.catalogue.list_pilot_data())
        found = best_home(
            filter(markers.is_here, stores), self._node.label, lambda store: bool(markers.folder_here(store))
        )
        if found is None:
            raise TransferError(
                f"data unit {self._output.data_unit} has no replica, and no Pilot-Data of the session is Running that "
                "this machine can enter; make one"
            )
        return found

    def _running(self, names: Iterable[str]) -> list[PilotDataRecord]:
        stores = map(self._node.catalogue.pilot_data, names)
        return [store for store in stores if store is not None and store.state is State.Running]

    def _check_entrance(self, home: PilotDataRecord) -> None:
        """Refuse a folder of another machine, which would be taken for one of this machine."""
        if not markers.is_here(home):
            raise TransferError(
                f"data unit {self._output.data_unit} is at home at {home.id}, a folder of another machine "
                f"({home.description['service_url']}); let the unit run there, or make a Pilot-Data that is reached from here"
            )

    def _check_room(self, store: PilotDataRecord) -> None:
        """Find out before anything moves that there is no room. What is told in the end is checked in any case."""
        grows = self._output.bytes
        if not store.size_bytes or store.used_bytes + grows <= store.size_bytes:
            return
        known = {file.path: file.size for file in self._node.catalogue.files(self._output.data_unit)}
        grows -= sum(known.get(entry.path, 0) for entry in self._output.entries)
        if store.used_bytes + grows > store.size_bytes:
            raise self._full(store, store.used_bytes)

    def _full(self, store: PilotDataRecord, used: int | str) -> TransferError:
        replica = ReplicaRecord(self._output.data_unit, store.id)
        return no_room(replica, self._output.bytes, used, store.size_bytes)

    def _await(self, home: str) -> None:
        """Wait until nobody moves files to the replica at a Pilot-Data, or whoever did may be gone."""

        def is_free() -> bool:
            self._job.check()
            replica = self._unit().replicas.get(home)
            return replica is None or replica.letter != ReplicaLetter.RUNNING

        self._node.catalogue.wait_for(is_free, LEASE_S)

    def _withdraw(self, files: Sequence[FileRecord]) -> None:
        """Let the data unit forget files of a delivery that was taken only in part."""
        ours = self._ours(files)
        if ours and len(ours) < len(files):
            self._node.catalogue.remove_files(self._output.data_unit, ours)

    def _ours(self, files: Sequence[FileRecord]) -> list[str]:
        """Return the paths of files that the data unit has just as they are."""
        known = {file.path: file for file in self._node.catalogue.files(self._output.data_unit)}
        return [file.path for file in files if known.get(file.path) == file]

    def _known(self) -> set[str]:
        return {file.path for file in self._node.catalogue.files(self._output.data_unit)}

    def _unit(self) -> DataUnitRecord:
        return unit_in(self._node.catalogue, self._output.data_unit)


_REFUSALS = {
    "stale": "compute unit {unit} is not this pilot's any more; its outputs are not added to data unit {data_unit}",
    "unit": "data unit {data_unit} has ended; nothing is added to it any more",
    "store": "Pilot-Data {home}, where data unit {data_unit} is at home, has ended; bring it to another one",
}
