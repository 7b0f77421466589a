"""Tasks of the Transfer service: given in once, watched until they end, found again by their label."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import globus_sdk

from pilot_data.errors import BusyError, CanceledError, LoginError, TransferError
from pilot_data.job import Job

from .connection import Connection
from .globus_errors import ConflictError, of_code

_HOPELESS = (
    "PERMISSION_DENIED",
    "QUOTA",
    "NO_SPACE",
    "NOT_FOUND",
    "NOT_A_DIRECTORY",
    "IS_A_DIRECTORY",
    "EXISTS",
)
"""Parts of states in which Globus tries on for a day, and nothing will be better then."""

_WAITS_FOR_SOMEBODY = ("GC_NOT_CONNECTED", "GC_PAUSED")
"""States that end when somebody does something; the task goes on then, and is found again."""

_GROWTH = 1.5
_SILENT: dict[str, Any] = {
    "notify_on_succeeded": False,
    "notify_on_failed": False,
    "notify_on_inactive": False,
}


@dataclass(frozen=True)
class Order:
    """Files to be copied by one task.

    Attributes:
        source: Id of a collection.
        target: Id of a collection.
        pairs: Path at the source and path at the target, for each file.
        verifies: Whether Globus compares the copies with their originals.
        goes_on: Whether files that an earlier attempt has brought are compared first, and left if they are right.
        algorithm: Of the checksums; empty for what Globus takes.
    """

    source: str
    target: str
    pairs: Sequence[tuple[str, str]]
    verifies: bool = True
    goes_on: bool = True
    algorithm: str = ""

    @property
    def label(self) -> str:
        """The task's name, which follows from what it does: another process finds it again."""
        digest = hashlib.sha256(f"{self.source}\0{self.target}\0{self.verifies}".encode())
        for pair in self.pairs:
            digest.update("\0".join(("", *pair)).encode("utf-8", "surrogateescape"))
        return f"pilot-data {digest.hexdigest()[:40]}"

    def document(self, submission: str) -> globus_sdk.TransferData:
        """Return what the service is given."""
        data = globus_sdk.TransferData(
            self.source,
            self.target,
            label=self.label,
            submission_id=submission,
            verify_checksum=self.verifies,
            preserve_timestamp=True,
            skip_source_errors=True,
            fail_on_quota_errors=True,
            sync_level="checksum" if self.verifies and self.goes_on else globus_sdk.MISSING,
            **_SILENT,
        )
        for source, target in self.pairs:
            data.add_item(source, target, checksum_algorithm=self.algorithm or globus_sdk.MISSING)
        return data


class Tasks:
    """The tasks of one user.

    Args:
        globus: The service.
    """

    def __init__(self, globus: Connection) -> None:
        self._globus = globus

    def transfer(self, order: Order, job: Job) -> str:
        """Copy files, and wait until all are copied; a task that does the same already is waited for.

        Returns:
            The task's id.

        Raises:
            CanceledError: By the job; the task has ended then.
            TransferError: The task fails, or waits for somebody to do something.
        """
        task_id = self._running(order.label) or self._submitted(order)
        self._wait(task_id, job, f"cannot copy {len(order.pairs)} files by Globus task {task_id}")
        return task_id

    def delete(self, collection: str, paths: Sequence[str], *, recursive: bool) -> None:
        """Remove files, and wait until they are gone; missing ones are no error."""
        if not paths:
            return
        what = f"cannot remove {paths[0]} at collection {collection}"
        data = globus_sdk.DeleteData(
            collection,
            submission_id=self._submission(),
            recursive=recursive,
            ignore_missing=True,
            interpret_globs=False,
            **_SILENT,
        )
        for path in paths:
            data.add_item(path)
        answer = self._globus.call(what, lambda client: client.submit_delete(data))
        self._wait(str(answer["task_id"]), Job(), what)

    def skipped(self, task_id: str) -> dict[str, TransferError]:
        """Return what was wrong with files that a task has left out, by their paths at the source."""
        return {
            str(error["source_path"]): of_code(
                str(error["error_code"]), f"cannot read {error['source_path']}: {error['error_details']}"
            )
            for error in self._pages(task_id, "skipped_errors")
        }

    def sha256_of_copied(self, task_id: str) -> dict[str, str]:
        """Return the SHA-256 of files that a task has copied, by their paths at the target, where Globus tells."""
        return {
            str(done["destination_path"]): str(done["checksum"]).lower()
            for done in self._pages(task_id, "successful_transfers")
            if str(done.get("checksum_algorithm")).upper().replace("-", "") == "SHA256"
        }

    def _submitted(self, order: Order) -> str:
        data = order.document(self._submission())
        what = f"cannot copy {len(order.pairs)} files from collection {order.source} to {order.target}"
        try:
            return str(self._globus.call(what, lambda client: client.submit_transfer(data))["task_id"])
        except ConflictError:  # somebody has given in the same since we looked
            running = self._running(order.label)
            if running:
                return running
            raise BusyError(f"{what}: another Globus task is copying the same files; try again") from None

    def _submission(self) -> str:
        """Return a number that makes the same task of a submission that is repeated when an answer is lost."""
        answer = self._globus.call("cannot start a Globus task", lambda client: client.get_submission_id())
        return str(answer["value"])

    def _running(self, label: str) -> str:
        def read(client: globus_sdk.TransferClient) -> str:
            pages = client.paginated.task_list(filter={"status": ["ACTIVE", "INACTIVE"], "type": "TRANSFER"})
            return next((str(task["task_id"]) for task in pages.items() if task["label"] == label), "")

        return self._globus.call("cannot list Globus tasks", read)

    def _wait(self, task_id: str, job: Job, what: str) -> None:
        pause, seen = self._globus.pauses.first_s, 0
        try:
            while True:
                task = self._task(task_id, what)
                moved = int(task["bytes_transferred"] or 0)
                if moved > seen:
                    job.moved(moved - seen)
                    seen = moved
                if self._has_ended(task, what):
                    return
                job.wait(pause)
                pause = min(pause * _GROWTH, self._globus.pauses.longest_s)
        except CanceledError:
            self._cancel(task_id, what)
            raise

    def _has_ended(self, task: dict[str, Any], what: str) -> bool:
        """Return whether a task has succeeded.

        Raises:
            TransferError: It has failed, or waits for what does not come by itself.
        """
        status, state = str(task["status"]), str(task["nice_status"] or "")
        said = " ".join(
            str(task["nice_status_details"] or task["nice_status_short_description"] or "").split()
        )
        if status == "SUCCEEDED":
            return True
        if status == "FAILED":
            fatal = task["fatal_error"] or {"code": state or "FAILED", "description": said}
            raise of_code(str(fatal["code"]), f"{what}: {fatal['description']}")
        if task["is_paused"]:
            raise BusyError(f"{what}: {self._pause_message(task)}; the task goes on when it is resumed")
        if status == "INACTIVE":
            raise LoginError(
                f"{what}: the task waits for a new login to a collection ({state} {said}); log in at "
                f"app.globus.org/activity/{task['task_id']}, and it goes on"
            )
        if any(part in state for part in _WAITS_FOR_SOMEBODY):
            raise of_code(state, f"{what}: {said}")
        if any(part in state for part in _HOPELESS):
            self._cancel(str(task["task_id"]), what)
            raise of_code(state, f"{what}: {said}")
        return False

    def _pause_message(self, task: dict[str, Any]) -> str:
        info = self._globus.call(
            "cannot ask why a task is paused", lambda client: client.task_pause_info(task["task_id"])
        )
        rules = [str(rule["message"]) for rule in info["pause_rules"]]
        said = [info.get("source_pause_message"), info.get("destination_pause_message"), *rules]
        return "the task is paused: " + (" ".join(text for text in said if text) or "no reason is given")

    def _cancel(self, task_id: str, what: str) -> None:
        self._globus.call(what, lambda client: client.cancel_task(task_id))
        while self._task(task_id, what)["status"] in {"ACTIVE", "INACTIVE"}:
            time.sleep(self._globus.pauses.first_s)  # not by the job, which is canceled

    def _task(self, task_id: str, what: str) -> dict[str, Any]:
        return dict(self._globus.call(what, lambda client: client.get_task(task_id)).data)

    def _pages(self, task_id: str, what: str) -> list[dict[str, Any]]:
        def read(client: globus_sdk.TransferClient) -> list[dict[str, Any]]:
            pages = getattr(client.paginated, f"task_{what}")(task_id)
            return [dict(found) for found in pages.items()]

        return self._globus.call(f"cannot read {what} of Globus task {task_id}", read)
