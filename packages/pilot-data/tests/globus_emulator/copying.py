"""The emulator's tasks at work: they copy and remove files."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import Any

from .collections_here import Collections
from .faults import Faults, Refusal
from .task_book import Task

_BLOCK = 1 << 20
_ATTEMPTS = 4


class Worker:
    """Does tasks, each in a thread.

    Args:
        collections: Where files are.
        faults: What goes wrong.
    """

    def __init__(self, collections: Collections, faults: Faults) -> None:
        self._collections = collections
        self._faults = faults

    def work(self, task: Task) -> None:
        """Do a task to its end."""
        self._hold(task)
        try:
            if self._faults.fatal:
                raise Refusal(0, self._faults.fatal, "as the test has asked for")
            task.begin_again()
            for item in task.submitted["DATA"]:
                self._do_patiently(task, item)
            task.end("SUCCEEDED")
        except _CanceledTask:
            task.end("FAILED", "CANCELED", "Task canceled")
        except Refusal as error:
            task.end("FAILED", str(error.document["code"]), str(error.document["message"]))
        except OSError as error:
            task.end("FAILED", "UNKNOWN", str(error))

    def _hold(self, task: Task) -> None:
        if not self._faults.state:
            return
        task.shown.update(self._faults.state)
        while self._faults.state and not task.canceled.wait(0.01):
            continue

    def _do_patiently(self, task: Task, item: dict[str, Any]) -> None:
        """Do one item, again when a file was taken away under its hands: to Globus that is a fault, no end."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._do(task, item)
            except FileNotFoundError:
                task.shown["faults"] += 1
        return self._do(task, item)

    def _do(self, task: Task, item: dict[str, Any]) -> None:
        _go_on(task)
        if task.shown["type"] == "DELETE":
            self._remove(task, item)
            return
        doc = task.submitted
        source = self._collections.real(doc["source_endpoint"], item["source_path"])
        target = self._collections.real(doc["destination_endpoint"], item["destination_path"])
        error = self._error_at(source)
        if error:
            self._leave_out(task, item, error)
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        task.shown["files"] += 1
        algorithm = (item.get("checksum_algorithm") or "MD5") if self._faults.tells_sha256 else "MD5"
        if doc.get("sync_level") == 3 and os.path.exists(target) and _digest(source) == _digest(target):
            task.shown["files_skipped"] += 1
            return
        self._copy_verified(task, source, target)
        if doc.get("preserve_timestamp"):
            found = os.stat(source)
            os.utime(target, ns=(found.st_atime_ns, int(found.st_mtime) * 10**9))
        task.shown["files_transferred"] += 1
        checks = bool(doc.get("verify_checksum"))
        task.copied.append(
            {
                "DATA_TYPE": "successful_transfer",
                "source_path": item["source_path"],
                "destination_path": item["destination_path"],
                "checksum": _digest(target, algorithm) if checks else None,
                "checksum_algorithm": algorithm if checks else None,
            }
        )

    def _error_at(self, source: str) -> str:
        if not os.path.exists(source):
            return "FILE_NOT_FOUND"
        if os.path.isdir(source):
            raise Refusal(0, "IS_A_DIRECTORY", os.path.basename(source))
        return "PERMISSION_DENIED" if os.path.basename(source) in self._faults.unreadable else ""

    def _leave_out(self, task: Task, item: dict[str, Any], code: str) -> None:
        if not task.submitted.get("skip_source_errors"):
            raise Refusal(0, code, item["source_path"])
        task.skipped.append(
            {
                "DATA_TYPE": "skipped_error",
                "source_path": item["source_path"],
                "destination_path": item["destination_path"],
                "error_code": code,
                "error_details": "as the file system says",
                "is_directory": False,
            }
        )

    def _copy_verified(self, task: Task, source: str, target: str) -> None:
        for _ in range(_ATTEMPTS):
            self._copy(task, source, target)
            if not task.submitted.get("verify_checksum") or _digest(source) == _digest(target):
                return
            task.shown["faults"] += 1
        raise Refusal(0, "VERIFY_CHECKSUM", "the copies are not the original")

    def _copy(self, task: Task, source: str, target: str) -> None:
        size, done = os.path.getsize(source), 0
        with open(source, "rb") as reading, open(target, "wb") as writing:
            while data := reading.read(_BLOCK):
                if done + len(data) > size // 2:
                    self._pass_the_gate(task)
                _go_on(task)
                writing.write(data)
                done += len(data)
                task.shown["bytes_transferred"] += len(data)
            if not size:
                self._pass_the_gate(task)
        self._spoil(target)

    def _pass_the_gate(self, task: Task) -> None:
        if self._faults.gate.is_set():
            return
        self._faults.stopped.set()
        while not self._faults.gate.wait(0.01):
            _go_on(task)

    def _spoil(self, target: str) -> None:
        if self._faults.corrupt > 0:
            self._faults.corrupt -= 1
            with open(target, "r+b") as file:
                file.write(b"\xff")
        if self._faults.cut > 0:
            self._faults.cut -= 1
            os.truncate(target, os.path.getsize(target) // 2)

    def _remove(self, task: Task, item: dict[str, Any]) -> None:
        path = self._collections.real(task.submitted["endpoint"], item["path"])
        if not os.path.lexists(path):
            if not task.submitted.get("ignore_missing"):
                raise Refusal(0, "FILE_NOT_FOUND", item["path"])
        elif not os.path.isdir(path) or os.path.islink(path):
            os.unlink(path)
        elif task.submitted.get("recursive"):
            shutil.rmtree(path)
        else:
            raise Refusal(0, "IS_A_DIRECTORY", item["path"])


class _CanceledTask(Exception):  # noqa: N818 - no error
    pass


def _go_on(task: Task) -> None:
    if task.canceled.is_set():
        raise _CanceledTask


def _digest(path: str, algorithm: str = "MD5") -> str:
    found = hashlib.new(algorithm.lower().replace("-", ""))
    with open(path, "rb") as reading:
        while data := reading.read(_BLOCK):
            found.update(data)
    return found.hexdigest()
