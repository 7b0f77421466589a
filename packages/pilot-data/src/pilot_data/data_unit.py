"""The handle of a data unit: files that belong together, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, final

from pilot_protocol.data_records import FileRecord, ReplicaLetter
from pilot_protocol.errors import StateError
from pilot_protocol.references import file_urls as checked_urls
from pilot_protocol.states import State, is_final
from pilot_session.argument_checks import seconds
from pilot_session.getters import Getters

from . import data_session
from .catalogue import DataUnitRecord, unknown
from .errors import MissingFileError, TransferError
from .job import Job
from .locations import parse
from .moving import move, present_at
from .origins import lots_of, record_of
from .plan import make_plan
from .registry import open_storage
from .removing import remove_data_unit
from .retry import move_with_retries
from .stager import access_of, place_of

if TYPE_CHECKING:
    from .data_session import DataSession
    from .pilot_data import PilotData


@final
class DataUnit(Getters):
    """Files that belong together.

    Args:
        du_url: Reconnects to a data unit by its `url`.

    Raises:
        CoordinationError: The catalogue cannot be reached.
        DescriptionError: The URL cannot be read.
        StateError: The catalogue has no such data unit.
    """

    def __init__(self, du_url: str) -> None:
        self._take(*data_session.find(du_url, "du"))
        self._record()

    @classmethod
    def of(cls, session: DataSession, data_unit: str) -> DataUnit:
        """Return the handle of a data unit of a session."""
        handle = cls.__new__(cls)
        handle._take(session, data_unit)  # noqa: SLF001 - of this very class
        return handle

    def _take(self, session: DataSession, data_unit: str) -> None:
        self._session = session
        self._id = data_unit

    @property
    def id(self) -> str:
        """Its id, unique in its catalogue."""
        return self._id

    @property
    def url(self) -> str:
        """Where to find it again; holds no password."""
        return self._session.url_of(self.id)

    @property
    def state(self) -> State:
        """Pending while files move, Running when each replica that is asked for is in place, or how it has ended."""
        return self._record().state

    @property
    def details(self) -> dict[str, Any]:
        """What is known of it: description, state, reason, sizes in bytes, replicas, and each file."""
        record = self._record()
        done = [name for name, replica in record.replicas.items() if replica.letter == ReplicaLetter.DONE]
        files = self._session.catalogue.files(self.id)
        return {
            "description": dict(record.description),
            "state": record.state,
            "reason": record.reason,
            "number_of_files": record.files,
            "bytes": record.bytes,
            "replicas": {
                name: {"state": _STATES[replica.letter], "bytes": replica.bytes, "reason": replica.reason}
                for name, replica in record.replicas.items()
            },
            "files": {file.path: _told(file, done) for file in files},
        }

    def add_files(self, file_urls: Sequence[str]) -> None:
        """Add files, and return when they are at every replica. A file of the same name is replaced.

        Args:
            file_urls: Files, folders and patterns.

        Raises:
            TransferError: A file is not there, or could not be moved; then the data unit is as it was.
            StateError: The data unit has ended, or files of it are moved just now.
        """
        record = self._settled("add_files")
        lots = lots_of(checked_urls("file_urls", list(file_urls)))
        catalogue = self._session.catalogue
        before = {file.path: file for file in catalogue.files(self.id)}
        part = 1 + max((file.part for file in before.values()), default=-1)
        fresh = [record_of(item, part) for lot in lots for item in lot.items]
        catalogue.put_files(self.id, fresh)
        for store in record.replicas:
            catalogue.ask(self.id, store)
            self._session.stager.add(self.id, store, lots)
        failed = [replica.reason for replica in self._record().replicas.values() if replica.reason]
        if failed:
            self._restore(fresh, before)
            raise TransferError(f"files could not be added to {self.id}: {failed[0]}")

    def _restore(self, fresh: Sequence[FileRecord], before: dict[str, FileRecord]) -> None:
        catalogue = self._session.catalogue
        catalogue.remove_files(self.id, [file.path for file in fresh])
        catalogue.put_files(self.id, [before[file.path] for file in fresh if file.path in before])

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove files from the data unit and from all its replicas.

        Args:
            names: As `list` tells them.

        Raises:
            MissingFileError: The data unit has no such file.
            TransferError: A storage cannot be reached.
        """
        record = self._settled("remove_files")
        catalogue = self._session.catalogue
        known = {file.path for file in catalogue.files(self.id)}
        for name in names:
            if name not in known:
                raise MissingFileError(f"data unit {self.id} has no file {name!r}")
        for store in map(catalogue.pilot_data, record.replicas):
            if store is not None:
                with closing(open_storage(place_of(store, self.id), access_of(store))) as storage:
                    storage.remove_many(list(names))
        catalogue.remove_files(self.id, list(names))

    def add_pilot_data(self, pilot_data: PilotData) -> None:
        """Bring the data unit to a further Pilot-Data, in the background.

        Raises:
            StateError: One of them has ended.
        """
        record = self._record()
        if is_final(record.state) or is_final(pilot_data.state):
            raise StateError(
                f"data unit {self.id} is {record.state}, Pilot-Data {pilot_data.id} is {pilot_data.state}; "
                "nothing can be brought there"
            )
        self._session.catalogue.ask(self.id, pilot_data.id)
        self._session.stager.start(self.id, [pilot_data.id], [])

    def list_pilot_data(self) -> Sequence[PilotData]:
        """Return the Pilot-Data that have it whole."""
        from .pilot_data import PilotData

        return [PilotData.of(self._session, name) for name in self._stores_with(ReplicaLetter.DONE)]

    def export(self, target_url: str, *, pilot_data: PilotData | None = None) -> None:
        """Copy the files to a folder anywhere, and return when they are there and verified.

        What is there already with the same size and time does not move again.

        Args:
            target_url: A path or URL of a folder; is made.
            pilot_data: Where to take them from; by default the nearest one.

        Raises:
            StateError: No Pilot-Data has the data unit whole.
            TransferError: A file could not be moved.
        """
        names = (pilot_data.id,) if pilot_data is not None else self._stores_with(ReplicaLetter.DONE)
        if not names:
            raise StateError(f"data unit {self.id} is {self.state}; it can be exported when it is Running")
        lot = self._session.stager.replica(self.id, names[0])
        job = Job(checksum=self._record().description.get("checksum", "sha256"))
        with closing(lot.open()) as source, closing(open_storage(parse(target_url, "target_url"))) as target:
            present = present_at(target)
            plan = make_plan(lot.items, present, target.capabilities)
            outcomes = move_with_retries(partial(move, source, target, job=job), plan.items, job)
            failed = [outcome.error for outcome in (*plan.refused, *outcomes) if outcome.error is not None]
        if failed:
            raise failed[0]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no file moves any more: Running, or ended.

        Args:
            timeout: Seconds; without end by default.

        Returns:
            Whether that is so.
        """
        limit_s = seconds(timeout)
        return self._session.catalogue.wait_for(lambda: self.state is not State.Pending, limit_s)

    def cancel(self) -> None:
        """End it, and remove its files from all Pilot-Data.

        Raises:
            TransferError: A storage cannot be reached.
        """
        remove_data_unit(self._session.catalogue, self.id)

    def _stores_with(self, letter: str) -> tuple[str, ...]:
        return tuple(name for name, replica in self._record().replicas.items() if replica.letter == letter)

    def _settled(self, verb: str) -> DataUnitRecord:
        record = self._record()
        if record.state is not State.Running:
            raise StateError(
                f"data unit {self.id} is {record.state}; {verb} needs one that is Running: wait() first"
            )
        return record

    def _record(self) -> DataUnitRecord:
        record = self._session.catalogue.data_unit(self.id)
        if record is None:
            raise unknown("data unit", self.id)
        return record

    def list(self) -> dict[str, dict[str, Any]]:
        """Return the files: to each name the URLs at all Pilot-Data that have it, as ``pilot_data``."""
        catalogue = self._session.catalogue
        places = [
            place_of(store, self.id)
            for store in map(catalogue.pilot_data, self._stores_with(ReplicaLetter.DONE))
            if store is not None
        ]
        return {
            file.path: {"pilot_data": [str(place.joined(file.path)) for place in places], "size": file.size}
            for file in catalogue.files(self.id)
        }

    def __repr__(self) -> str:
        return f"<DataUnit {self.id}>"


_STATES = {
    ReplicaLetter.PENDING: State.Pending,
    ReplicaLetter.RUNNING: State.Staging,
    ReplicaLetter.DONE: State.Done,
    ReplicaLetter.FAILED: State.Failed,
    ReplicaLetter.CANCELED: State.Canceled,
}


def _told(file: FileRecord, replicas: Sequence[str]) -> dict[str, Any]:
    """Return what is told of a file; the time in seconds since 1970."""
    return {
        "size": file.size,
        "checksum": file.checksum,
        "mtime": file.mtime_ns / 1e9,
        "link": file.link,
        "replicas": [*replicas],
    }
