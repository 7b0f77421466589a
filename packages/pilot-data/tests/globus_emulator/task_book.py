"""The emulator's tasks, kept in a file so that they survive it."""

from __future__ import annotations

import json
import os
import threading
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

Document = dict[str, Any]

PER_FILE = ("files", "files_transferred", "files_skipped", "bytes_transferred", "faults")


@dataclass
class Task:
    """One task.

    Attributes:
        submitted: What it was asked to do.
        shown: Its document, as the API tells it.
        copied: What has been copied, for ``successful_transfers``.
        skipped: What has been left out, for ``skipped_errors``.
        canceled: Set to end it.
    """

    submitted: Document
    shown: Document
    copied: list[Document] = field(default_factory=list)
    skipped: list[Document] = field(default_factory=list)
    canceled: threading.Event = field(default_factory=threading.Event)

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return str(self.shown["status"]) in {"ACTIVE", "INACTIVE"}

    def same_files(self, other: Document) -> bool:
        """Return whether it moves the same files as another submission."""
        names = ("source_endpoint", "destination_endpoint")
        return (
            self.shown["type"] == "TRANSFER"
            and all(self.submitted[name] == other[name] for name in names)
            and self.submitted["DATA"] == other["DATA"]
        )

    def begin_again(self) -> None:
        """Forget what was counted."""
        self.shown.update(dict.fromkeys(PER_FILE, 0))
        self.copied.clear()
        self.skipped.clear()

    def end(self, status: str, code: str = "", description: str = "") -> None:
        """Let it be over."""
        self.shown["fatal_error"] = {"code": code, "description": description} if code else None
        self.shown["nice_status"] = code or None
        self.shown["completion_time"] = now()
        self.shown["status"] = status


class TaskBook:
    """All tasks.

    Args:
        path: Of the file that keeps them.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.lock = threading.RLock()
        self.tasks: dict[str, Task] = {}
        self.submissions: dict[str, str] = {}
        if os.path.exists(path):
            kept = json.loads(Path(path).read_text(encoding="utf-8"))
            self.submissions = kept["submissions"]
            self.tasks = {key: Task(**task) for key, task in kept["tasks"].items()}

    def save(self) -> None:
        """Write everything."""
        with self.lock:
            tasks = {
                key: {name: value for name, value in vars(task).items() if name != "canceled"}
                for key, task in self.tasks.items()
            }
            text = json.dumps({"submissions": self.submissions, "tasks": tasks})
            Path(f"{self._path}.new").write_text(text, encoding="utf-8")
            os.rename(f"{self._path}.new", self._path)

    def add(self, kind: str, submitted: Document) -> Task:
        """Take a task in."""
        task_id = str(uuid.uuid4())
        task = Task(submitted, _shown(task_id, kind, submitted))
        self.tasks[task_id] = task
        self.submissions[submitted["submission_id"]] = task_id
        return task


def now() -> str:
    """Return the time as the API writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _shown(task_id: str, kind: str, submitted: Document) -> Document:
    return {
        "DATA_TYPE": "task",
        "task_id": task_id,
        "type": kind.upper(),
        "command": "emulator of the API 0.10",
        "status": "ACTIVE",
        "nice_status": "Queued",
        "nice_status_details": None,
        "nice_status_short_description": None,
        "is_ok": True,
        "is_paused": False,
        "label": submitted.get("label"),
        "request_time": now(),
        "completion_time": None,
        "source_endpoint_id": submitted.get("source_endpoint") or submitted.get("endpoint"),
        "destination_endpoint_id": submitted.get("destination_endpoint"),
        "fatal_error": None,
        **dict.fromkeys(PER_FILE, 0),
    }
