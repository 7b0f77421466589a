"""What fails at Globus, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from globus_emulator.faults import Refusal
from globus_emulator.server import Emulator
from globus_fixture import THERE, GlobusTrouble, QuickGlobusStorage, folder_of
from pilot_data.adaptors.globus.globus_errors import of_code
from pilot_data.entries import Entry, Item, Outcome
from pilot_data.errors import (
    AccessDeniedError,
    BusyError,
    ChecksumError,
    ConnectionLostError,
    LoginError,
    MissingFileError,
    NoSpaceError,
    TransferError,
)
from pilot_data.job import Job
from pilot_data.testing.sample_files import read_all, write, write_all
from pilot_data.testing.storage_fixture import failed, landed, names_below


def raise_error(outcomes: Iterable[Outcome]) -> None:
    """Raise the error of the only file."""
    (outcome,) = outcomes
    assert outcome.error is not None
    raise outcome.error


class TestRefusedCalls(GlobusTrouble):
    def test_a_service_that_is_busy_is_asked_again(
        self, globus: Emulator, storage: QuickGlobusStorage
    ) -> None:
        globus.faults.refuse("/ls", Refusal(503, "ServiceUnavailable", "down").after(1))
        globus.faults.refuse("/ls", Refusal(429, "TooManyRequests", "slower").after(1))
        with pytest.raises(MissingFileError):
            list(storage.list())
        assert globus.called("/ls") == 3

    def test_a_service_that_stays_busy_says_when_to_come_back(
        self, globus: Emulator, storage: QuickGlobusStorage
    ) -> None:
        globus.faults.refuse("/ls", Refusal(429, "TooManyRequests", "slower").after(3600), times=20)
        with pytest.raises(BusyError, match="come back in 3600 s") as caught:
            list(storage.list())
        assert caught.value.transient

    def test_a_missing_consent_says_which_and_what_to_type(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str
    ) -> None:
        globus.faults.consents.add(THERE)
        with pytest.raises(LoginError, match=rf"consent.*pilot-data login globus --scope '\S*{THERE}\S*'"):
            list(storage.list())
        with pytest.raises(LoginError, match="consent"):
            list(storage.put_many(here, [write(here, "x", b"x")], Job()))

    @pytest.mark.parametrize(
        ("status", "code", "kind", "advice"),
        [
            (
                502,
                "ExternalError.DirListingFailed.GCDisconnected",
                ConnectionLostError,
                "start Globus Connect",
            ),
            (502, "ExternalError.DirListingFailed.GCPaused", ConnectionLostError, "resume Globus Connect"),
            (502, "ExternalError.DirListingFailed.ConnectFailed", ConnectionLostError, "try again later"),
            (502, "ExternalError.DirListingFailed.PermissionDenied", AccessDeniedError, "ask the collection"),
            (502, "ExternalError.DirListingFailed.SizeLimit", TransferError, "divide it"),
            (502, "ExternalError.DirListingFailed", ConnectionLostError, "server failed"),
            (409, "ClientError.ActivationRequired", TransferError, ""),
            (400, "ClientError.ActivationRequired", LoginError, "log in again"),
            (403, "EndpointPermissionDenied", AccessDeniedError, "ask the collection"),
            (404, "EndpointNotFound", MissingFileError, "no collection has this id"),
            (400, "ClientError.BadRequest", TransferError, ""),
        ],
    )
    def test_errors_of_collections_say_what_to_do(
        self,
        globus: Emulator,
        storage: QuickGlobusStorage,
        status: int,
        code: str,
        kind: type[TransferError],
        advice: str,
    ) -> None:
        globus.faults.refuse("/ls", Refusal(status, code, "so\nit is"))
        with pytest.raises(kind, match=rf"cannot list /store at collection {THERE}: so it is.*{advice}"):
            list(storage.list())
        assert globus.called("/ls") == 1

    def test_a_service_that_is_not_there(self, globus: Emulator, storage: QuickGlobusStorage) -> None:
        with pytest.raises(MissingFileError):
            list(storage.list())
        globus.stop()
        with pytest.raises(ConnectionLostError, match="cannot be reached"):
            list(storage.list())


class TestFailedTasks(GlobusTrouble):
    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("QUOTA_EXCEEDED", NoSpaceError),
            ("EXPIRED", ConnectionLostError),
            ("ENDPOINT_ERROR", TransferError),
            ("CANCELED", TransferError),
        ],
    )
    def test_a_task_that_fails_leaves_no_file(
        self,
        globus: Emulator,
        storage: QuickGlobusStorage,
        here: str,
        code: str,
        kind: type[TransferError],
    ) -> None:
        globus.faults.fatal = code
        items = write_all(here, ["a", "b"])
        if kind in {NoSpaceError, ConnectionLostError}:
            with pytest.raises(kind, match=code):
                list(storage.put_many(here, items, Job()))
        else:
            assert sorted(failed(storage.put_many(here, items, Job()))) == ["a", "b"]
        globus.faults.fatal = ""
        assert names_below(folder_of(globus, storage)) == []

    def test_a_copy_that_is_wrong_is_made_again(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str
    ) -> None:
        globus.faults.corrupt = 2
        items = write_all(here, ["a", "b"])
        landed(storage.put_many(here, items, Job()))
        assert read_all(folder_of(globus, storage)) == read_all(here)

    def test_a_copy_that_stays_wrong_does_not_land(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str
    ) -> None:
        globus.faults.corrupt = 4
        errors = failed(storage.put_many(here, write_all(here, ["a", "b"]), Job()))
        assert {path: type(error) for path, error in errors.items()} == {
            "a": ChecksumError,
            "b": ChecksumError,
        }
        assert list(storage.list()) == []

    def test_without_checksums_a_short_copy_does_not_land(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str, there: str
    ) -> None:
        globus.faults.cut = 1
        items = write_all(here, ["a", "b"])
        assert list(failed(storage.put_many(here, items, Job(checksum="none")))) == ["a"]
        assert names_below(folder_of(globus, storage)) == ["b"]
        globus.faults.cut = 1
        entries = [Item(entry, entry.path) for entry in storage.list()]
        assert list(failed(storage.get_many(entries, there, Job(checksum="none")))) == ["b"]
        assert names_below(there) == []

    def test_a_wrong_copy_that_globus_does_not_see_is_seen_here(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str, there: str
    ) -> None:
        (outcome,) = storage.put_many(here, [write(here, "a", b"content")], Job())
        Path(folder_of(globus, storage), "a").write_bytes(b"CONTENT")
        (entry,) = storage.list()
        known = Item(Entry("a", size=7, mtime_ns=entry.mtime_ns, checksum=outcome.checksum), "a")
        assert list(failed(storage.get_many([known], there, Job()))) == ["a"]
        assert names_below(there) == []

    def test_files_that_cannot_be_read_leave_the_others_alone(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str
    ) -> None:
        globus.faults.unreadable.add("secret")
        items = write_all(here, ["a", "secret", "b"])
        errors = failed(storage.put_many(here, items, Job()))
        assert {path: type(error) for path, error in errors.items()} == {"secret": AccessDeniedError}
        assert names_below(folder_of(globus, storage)) == ["a", "b"]

    def test_many_files_that_cannot_be_read(
        self, globus: Emulator, storage: QuickGlobusStorage, here: str
    ) -> None:
        names = [f"{number}" for number in range(230)]
        globus.faults.unreadable.update(names)
        items = write_all(here, names)
        assert sorted(failed(storage.put_many(here, items, Job()))) == sorted(names)

    @pytest.mark.parametrize(
        ("state", "kind", "advice"),
        [
            ({"is_paused": True}, BusyError, "maintenance until noon.*goes on when it is resumed"),
            ({"status": "INACTIVE", "nice_status": "CREDENTIALS"}, LoginError, "app.globus.org/activity/"),
            ({"nice_status": "GC_NOT_CONNECTED"}, ConnectionLostError, "start Globus Connect Personal"),
        ],
    )
    def test_a_task_that_waits_for_somebody_is_told_and_goes_on_later(
        self,
        globus: Emulator,
        storage: QuickGlobusStorage,
        here: str,
        state: dict[str, Any],
        kind: type[TransferError],
        advice: str,
    ) -> None:
        globus.faults.state = state
        item = write(here, "x", b"x")
        with pytest.raises(kind, match=advice):
            raise_error(storage.put_many(here, [item], Job()))
        globus.release()
        landed(storage.put_many(here, [item], Job()))
        # Once, by the task that waited; if it ended before the second attempt looked, that one copied nothing more.
        assert sum(task.shown["bytes_transferred"] for task in globus.book.tasks.values()) == 1

    @pytest.mark.parametrize(
        ("state", "kind"), [("PERMISSION_DENIED", AccessDeniedError), ("QUOTA_EXCEEDED", NoSpaceError)]
    )
    def test_a_task_without_hope_is_ended(
        self,
        globus: Emulator,
        storage: QuickGlobusStorage,
        here: str,
        state: str,
        kind: type[TransferError],
    ) -> None:
        globus.faults.state = {"nice_status": state}
        with pytest.raises(kind, match=state):
            raise_error(storage.put_many(here, [write(here, "x", b"x")], Job()))
        (task,) = globus.book.tasks.values()
        assert (task.is_active, task.shown["fatal_error"]["code"]) == (False, "CANCELED")


def test_codes_are_read_by_what_they_say() -> None:
    assert isinstance(of_code("FILE_NOT_FOUND", "x"), MissingFileError)
    assert type(of_code("SOMETHING_NEW", "x")) is TransferError
    assert str(of_code("SOMETHING_NEW", "it")) == "it (SOMETHING_NEW)"
