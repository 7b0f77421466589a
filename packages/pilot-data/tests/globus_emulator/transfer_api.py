"""The Transfer API: which call does what."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from .collections_here import Collections, Document
from .copying import Worker
from .faults import Faults, Refusal
from .task_book import Task, TaskBook

_PAGE = 100


class TransferApi:
    """Answers calls.

    Args:
        collections: Where files are.
        book: The tasks.
        faults: What goes wrong.
    """

    def __init__(self, collections: Collections, book: TaskBook, faults: Faults) -> None:
        self._collections = collections
        self._book = book
        self._faults = faults
        self._worker = Worker(collections, faults)
        self._threads: list[threading.Thread] = []
        for task in book.tasks.values():
            if task.is_active:  # it goes on where another emulator was ended
                self._start(task)

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Document) -> Document:
        """Return a call's document."""
        call = f"{method} {path}"
        for pattern, answer in self._calls():
            found = re.fullmatch(pattern, call)
            if found is not None:
                return answer(*found.groups(), query, body)
        raise Refusal(404, "ClientError.NotFound", f"the emulator has no {call}")

    def wait_for_tasks(self) -> None:
        """Wait until all tasks have ended."""
        for thread in self._threads:
            thread.join()

    def _calls(self) -> tuple[tuple[str, Callable[..., Document]], ...]:
        return (
            (r"GET /submission_id", lambda _q, _b: {"value": str(uuid.uuid4())}),
            (r"POST /(transfer|delete)", self._submit),
            (r"GET /task_list", self._list),
            (r"GET /task/([^/]+)", lambda task, _q, _b: dict(self._task(task).shown)),
            (r"POST /task/([^/]+)/cancel", self._cancel),
            (r"GET /task/([^/]+)/(skipped_errors|successful_transfers)", self._files),
            (r"GET /task/([^/]+)/pause_info", self._pause_info),
            (r"GET /endpoint/([^/]+)", lambda where, _q, _b: self._collections.describe(where)),
            (r"(GET|POST) /operation/endpoint/([^/]+)/(ls|stat|mkdir|rename)", self._operation),
        )

    def _operation(
        self, _method: str, collection: str, name: str, query: Mapping[str, str], body: Document
    ) -> Document:
        self._collections.check_consent(collection)
        if name in {"ls", "stat"}:
            return {"ls": self._collections.ls, "stat": self._collections.stat}[name](collection, query)
        return {"mkdir": self._collections.mkdir, "rename": self._collections.rename}[name](collection, body)

    def _submit(self, kind: str, _query: Mapping[str, str], body: Document) -> Document:
        if not body["DATA"]:
            raise Refusal(
                400, "ClientError.BadRequest.NoTransferItems", "A transfer requires at least one item"
            )
        for name in ("source_endpoint", "destination_endpoint", "endpoint"):
            if name in body:
                self._collections.real(body[name], "/")
                self._collections.check_consent(body[name])
        with self._book.lock:
            known = self._book.submissions.get(body["submission_id"])
            if known is None:
                self._refuse_identical(kind, body)
                task = self._book.add(kind, body)
                self._book.save()
                self._start(task)
        return {
            "DATA_TYPE": f"{kind}_result",
            "code": "Duplicate" if known else "Accepted",
            "message": f"The {kind} has been accepted and a task has been created and queued for execution",
            "submission_id": body["submission_id"],
            "task_id": self._book.submissions[body["submission_id"]],
        }

    def _refuse_identical(self, kind: str, body: Document) -> None:
        if (
            kind == "transfer"
            and self._faults.identical
            and any(task.is_active and task.same_files(body) for task in self._book.tasks.values())
        ):
            raise Refusal(409, "Conflict", "A transfer with identical paths has not yet completed")

    def _start(self, task: Task) -> None:
        def work() -> None:
            self._worker.work(task)
            self._book.save()

        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _list(self, query: Mapping[str, str], _body: Document) -> Document:
        wanted = dict(part.split(":", 1) for part in query.get("filter", "").split("/") if part)
        tasks = [
            dict(task.shown)
            for task in list(self._book.tasks.values())
            if all(str(task.shown[key]) in value.split(",") for key, value in wanted.items())
        ]
        offset, limit = int(query.get("offset", 0)), int(query.get("limit", 10))
        return {
            "DATA_TYPE": "task_list",
            "DATA": tasks[offset : offset + limit],
            "length": len(tasks[offset : offset + limit]),
            "limit": limit,
            "offset": offset,
            "total": len(tasks),
        }

    def _cancel(self, task_id: str, _query: Mapping[str, str], _body: Document) -> Document:
        task = self._task(task_id)
        if not task.is_active:
            return {
                "DATA_TYPE": "result",
                "code": "TaskComplete",
                "message": "The task has completed already.",
            }
        task.canceled.set()
        return {
            "DATA_TYPE": "result",
            "code": "Canceled",
            "message": "The task has been cancelled successfully.",
        }

    def _files(self, task_id: str, what: str, query: Mapping[str, str], _body: Document) -> Document:
        task = self._task(task_id)
        found = task.skipped if what == "skipped_errors" else task.copied
        start = int(query.get("marker", 0))
        page = found[start : start + _PAGE]
        more: dict[str, Any] = {"next_marker": str(start + _PAGE)} if start + _PAGE < len(found) else {}
        return {"DATA_TYPE": what, "marker": str(start), "DATA": page, **more}

    def _pause_info(self, task_id: str, _query: Mapping[str, str], _body: Document) -> Document:
        self._task(task_id)
        return {
            "DATA_TYPE": "pause_info_limited",
            "pause_rules": [{"message": "maintenance until noon"}],
            "source_pause_message": None,
            "destination_pause_message": None,
        }

    def _task(self, task_id: str) -> Task:
        found = self._book.tasks.get(task_id)
        if found is None:
            raise Refusal(404, "ClientError.NotFound", f"No task with id '{task_id}'")
        return found
