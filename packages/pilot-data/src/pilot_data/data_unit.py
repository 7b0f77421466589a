"""The handle of a data unit: files that belong together, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, final

from pilot_protocol.checks import listed, path
from pilot_protocol.data_records import FileRecord, ReplicaLetter
from pilot_protocol.errors import StateError
from pilot_protocol.references import file_urls as checked_urls
from pilot_protocol.states import State, is_final
from pilot_session.argument_checks import seconds

from .catalogue import DataUnitRecord, unit_in
from .errors import MissingFileError
from .handles import Handle, checked, find
from .job import Job
from .locations import parse
from .moving import first_error, move, present_at
from .origins import lot_of_replica, lots_of
from .pending import what_lacks, what_replicas_wait_for, why_pending
from .plan import make_plan
from .registry import open_storage
from .removing import remove_data_unit
from .replicas import nearest_whole, place_of, state_of, whole_at
from .retry import move_with_retries
from .unit_files import add, remove, settled_at

if TYPE_CHECKING:
    from .pilot_data import PilotData


@final
class DataUnit(Handle):
    """Files that belong together.

    Args:
        du_url: Reconnects to a data unit by its `url`.

    Raises:
        CoordinationError: The catalogue cannot be reached.
        DescriptionError: The URL cannot be read.
        StateError: The catalogue has no such data unit.
    """

    kind = "du"

    def __init__(self, du_url: str) -> None:
        self._take(*find("du_url", du_url, self.kind))
        self._record()

    @property
    def state(self) -> State:
        """New as long as nothing is to come, Pending until each replica that is asked for is in place, then Running."""
        return self._record().state

    @property
    def details(self) -> dict[str, Any]:
        """What is known of it: description, state, reason, sizes in bytes, replicas, and each file.

        The reason of one that has not ended says what it waits for, which compute unit has not added what it was to, or how
        many replicas are missing.
        That of a replica that is Pending says what it waits for, as far as that can be told on this machine.
        """
        record = self._record()
        done = whole_at(record)
        files = self._session.catalogue.files(self.id)
        waits = what_replicas_wait_for(self._session.catalogue, record)
        return {
            "description": dict(record.description),
            "state": record.state,
            "reason": record.reason or why_pending(record, waits) or what_lacks(record),
            "number_of_files": record.files,
            "bytes": record.bytes,
            "replicas": {
                name: {
                    "state": state_of(replica),
                    "bytes": replica.bytes,
                    "reason": waits.get(name, replica.reason),
                }
                for name, replica in record.replicas.items()
            },
            "files": {file.path: _told(file, done) for file in files},
        }

    def add_files(self, file_urls: Sequence[str]) -> None:
        """Add files, and return when they are at every replica.

        Args:
            file_urls: Files, folders and patterns.

        Raises:
            DescriptionError: The data unit has a file of that name; remove it first.
            TransferError: A file is not there, or could not be moved; then the data unit is as it was.
            StateError: The data unit is at no Pilot-Data, has ended, or files of it are moved just now.
        """
        stores = settled_at(self._session.catalogue, self.id, "add_files")
        add(self._session, self.id, lots_of(checked_urls("file_urls", file_urls)), stores)

    def remove_files(self, names: Sequence[str]) -> None:
        """Remove files from the data unit and from all its replicas.

        Args:
            names: As `list` tells them.

        Raises:
            DescriptionError: These are no names.
            MissingFileError: The data unit has no such file.
            StateError: The data unit is at no Pilot-Data, has ended, or files of it are moved just now.
            TransferError: A storage cannot be reached; call it again when it can.
        """
        catalogue = self._session.catalogue
        stores = settled_at(catalogue, self.id, "remove_files")
        wanted = [path(f"names[{index}]", name) for index, name in enumerate(listed("names", names, "names"))]
        known = {file.path for file in catalogue.files(self.id)}
        for name in wanted:
            if name not in known:
                raise MissingFileError(f"data unit {self.id} has no file {name!r}")
        remove(catalogue, self.id, wanted, stores)

    def add_pilot_data(self, pilot_data: PilotData) -> None:
        """Bring the data unit to a further Pilot-Data, in the background; no error if it is there, or on its way.

        It is copied from a replica, once there is one, by this process or another that serves. `wait` waits for it, too, and
        ``details["replicas"]`` tells how it went; a data unit that has as many replicas as it was asked to have is Running
        meanwhile, and stays so if the copy fails.

        Raises:
            StateError: One of them has ended.
        """
        store = self._store(pilot_data)
        record = self._record()
        if is_final(record.state) or is_final(store.state):
            raise StateError(
                f"data unit {self.id} is {record.state}, Pilot-Data {store.id} is {store.state}; "
                "nothing can be brought there"
            )
        replica = record.replicas.get(store.id)
        if replica is not None and (replica.is_in_work or replica.letter == ReplicaLetter.DONE):
            return
        self._session.stager.ask(self.id, [store.id])

    def _store(self, pilot_data: PilotData) -> PilotData:
        from .pilot_data import PilotData as Kind

        return checked("pilot_data", pilot_data, Kind, self._session)

    def list_pilot_data(self) -> Sequence[PilotData]:
        """Return the Pilot-Data that have it whole."""
        from .pilot_data import PilotData

        return [PilotData.of(self._session, name) for name in whole_at(self._record())]

    def export(self, target_url: str | PathLike[str], *, pilot_data: PilotData | None = None) -> None:
        """Copy the files to a folder anywhere, and return when they are there and verified.

        What is there already with the same size and time does not move again.

        Args:
            target_url: A path or URL of a folder; is made.
            pilot_data: Where to take them from; by default the nearest one.

        Raises:
            DescriptionError: The target cannot be read.
            StateError: No Pilot-Data has the data unit whole.
            TransferError: A file could not be moved.
        """
        place = parse(path("target_url", target_url), "target_url")
        catalogue, unit = self._session.catalogue, self._record()
        wanted = self._store(pilot_data).id if pilot_data is not None else ""
        lot = lot_of_replica(nearest_whole(catalogue, unit, wanted), self.id, catalogue.files(self.id))
        job = Job(checksum=unit.description.get("checksum", "sha256"))
        with closing(lot.open()) as source, closing(open_storage(place)) as target:
            plan = make_plan(lot.items, present_at(target), target.capabilities)
            outcomes = move_with_retries(partial(move, source, target, job=job), plan.items, job)
            error = first_error([*plan.refused, *outcomes])
        if error is not None:
            raise error

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is Running or has ended, and what this process has asked for with `add_pilot_data` has come.

        If the process that moves its files dies, another one goes on that serves its Pilot-Data: one that uses their service,
        or ``pilot-data serve``.

        Args:
            timeout: Seconds; without end by default.

        Returns:
            Whether that is so.
        """
        limit_s = seconds(timeout)
        return self._session.catalogue.wait_for(lambda: not self._session.is_coming(self._record()), limit_s)

    def cancel(self) -> None:
        """End it, and remove its files from all Pilot-Data.

        Raises:
            TransferError: A storage cannot be reached.
        """
        remove_data_unit(self._session.catalogue, self.id)

    def _record(self) -> DataUnitRecord:
        return unit_in(self._session.catalogue, self.id)

    def get_pilot_data(self) -> Sequence[PilotData]:
        """Return `list_pilot_data`."""
        return self.list_pilot_data()

    def list(self) -> dict[str, dict[str, Any]]:
        """Return the files: to each name the URLs at all Pilot-Data that have it, as ``pilot_data``."""
        catalogue = self._session.catalogue
        places = [
            place_of(store, self.id)
            for store in map(catalogue.pilot_data, whole_at(self._record()))
            if store is not None
        ]
        return {
            file.path: {"pilot_data": [str(place.joined(file.path)) for place in places], "size": file.size}
            for file in catalogue.files(self.id)
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
