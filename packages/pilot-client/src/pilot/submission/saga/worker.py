"""The only module that imports radical.saga: it serves requests, one JSON object a line, in the helper's worker process.

A request has an ``id``, an ``op`` and what it needs; its answer has the ``id`` and ``result`` or ``error``. One
``job.Service`` is made at the start and kept. Its inner shell is used for commands on the target, since it is the one
connection there is.

The invariant: every request is answered once, in order, whatever radical.saga raises; nothing else comes on standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .corrections import correct
from .flushing import shorten_flushes

KEEPS_STATE_ON_TARGET = ("loadl", "cobalt")
"""Their adaptors write on the target below a folder whose name is made here; so it must be one that exists there."""
_AND_REMOVE = '; code=$?; rm -f "$SCRIPTFILE"; (exit $code)'
_ENDS_THE_CHAIN = "unset GREP_OPTIONS; "
"""Comes before Grid Engine's ``qsub``, which so runs also when there is no script, and reads one from the terminal for ever."""
_SHELL_MODULES = ("radical.saga.utils.pty_shell", "radical.saga.utils.pty_shell_factory")
_JOB_ID = re.compile(r"\[.*\]-\[(.*?)\]")


def serve(url: str, folder: str) -> None:
    """Open a service, then answer requests until standard input ends.

    Args:
        url: What radical.saga connects to.
        folder: For logs and the like; somebody else removes it.
    """
    requests, answers = _take_streams()
    _set_environment(url, folder)
    worker = Worker(url)
    for line in requests:
        answer = json.dumps(worker.answer(json.loads(line))).encode()
        os.write(answers, answer + b"\n")


def _take_streams() -> tuple[Any, int]:
    """Keep the pipes for ourselves: what prints gets standard error, what reads gets nothing."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return requests, answers


def _set_environment(url: str, folder: str) -> None:
    tempfile.tempdir = folder  # not $TMPDIR, which jobs would get
    os.environ["RADICAL_DEFAULT_LOG_DIR"] = folder
    os.environ["RADICAL_SAGA_PTY_SSH_SHAREMODE"] = "no"  # its sockets in /tmp would stay
    os.environ["SHELL"] = "/bin/sh"  # the user's own shell would run the user's start files
    if not url.startswith(KEEPS_STATE_ON_TARGET):
        os.environ["RADICAL_BASE"] = folder


class Worker:
    """Answers requests.

    Args:
        url: What radical.saga connects to.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._saga: Any = None
        self._service: Any = None
        self._operations: Mapping[str, Callable[[dict[str, Any]], Any]] = {
            "open": self._open,
            "submit": self._submit,
            "states": self._states,
            "cancel": self._cancel,
            "shell": self._run,
        }

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Carry out a request; radical.saga raises everything, so everything is caught and told."""
        try:
            result = self._operations[request["op"]](request)
        except Exception as error:  # noqa: BLE001 - the boundary to radical.saga
            return {"id": request["id"], "error": _text_of(error)}
        return {"id": request["id"], "result": result}

    def _open(self, _request: dict[str, Any]) -> None:
        self._saga = importlib.import_module("radical.saga")
        correct(self._url.partition("://")[0])
        shorten_flushes(*map(importlib.import_module, _SHELL_MODULES))
        self._service = self._saga.job.Service(self._url)
        monitor = getattr(self._service._adaptor, "mt", None)  # noqa: SLF001 - it dies at times, and asks needlessly
        if monitor is not None and hasattr(monitor, "stop"):
            monitor.stop()

    @property
    def _adaptor(self) -> Any:
        return self._service._adaptor  # noqa: SLF001 - the shell and a folder are not to be had in another way

    def _submit(self, request: dict[str, Any]) -> str:
        description = self._saga.job.Description()
        for name, values in request["allowed"].items():
            description._attributes_set_enums(name, values)  # noqa: SLF001 - sites have other names than the three allowed
        for name, value in request["attributes"].items():
            description.set_attribute(name, value)
        if request["scratch"]:
            self._adaptor.temp_path = request["scratch"]
        job = self._service.create_job(description)
        with self._corrected(request["edits"]):
            job.run()
        match = _JOB_ID.fullmatch(str(job.id))
        if match is None:
            raise ValueError(f"radical.saga gave the job the id {job.id!r}, which is none")
        return match[1]

    @contextmanager
    def _corrected(self, edits: list[list[str]]) -> Iterator[None]:
        """Edit the batch script that radical.saga writes on the target, and remove its file afterwards."""
        shell, script = self._adaptor.shell, _Correction(edits)
        originals = shell.write_to_remote, shell.run_sync
        shell.write_to_remote = script.write(originals[1])
        shell.run_sync = script.run(originals[1])
        try:
            yield
        finally:
            shell.write_to_remote, shell.run_sync = originals
            for name in script.written:
                shell.run_sync(f"rm -f {name}")

    def _job_id(self, number: str) -> str:
        return f"[{self._service.url}]-[{number}]"

    def _states(self, request: dict[str, Any]) -> dict[str, dict[str, Any]]:
        return {number: self._state(number) for number in request["jobs"]}

    def _state(self, number: str) -> dict[str, Any]:
        try:
            job = self._service.get_job(self._job_id(number))
            state = str(job.state)
        except Exception as error:  # noqa: BLE001 - the boundary to radical.saga
            return {"error": _text_of(error)}
        final = state in ("Done", "Failed", "Canceled")
        return {"state": state, "exit_code": self._exit_code(job) if final else None}

    @staticmethod
    def _exit_code(job: Any) -> Any:
        try:
            return job.exit_code
        except Exception:  # noqa: BLE001 - some adaptors raise when there is none
            return None

    def _cancel(self, request: dict[str, Any]) -> dict[str, str]:
        """Cancel jobs; return what went wrong, by job."""
        failed = {}
        for number in request["jobs"]:
            try:
                self._service.get_job(self._job_id(number)).cancel()
            except Exception as error:  # noqa: BLE001 - the boundary to radical.saga
                failed[number] = _text_of(error)
        return failed

    def _run(self, request: dict[str, Any]) -> dict[str, Any]:
        code, text, _ = self._adaptor.shell.run_sync(request["command"])
        return {"code": code, "text": text.replace("\r\n", "\n")}


class _Correction:
    """Replaces texts in the batch script on its way to the target.

    Args:
        edits: Old and new texts; each old one is replaced once.
    """

    def __init__(self, edits: list[list[str]]) -> None:
        self._edits = edits
        self.written: list[str] = []

    def write(self, run_sync: Callable[..., Any]) -> Callable[..., Any]:
        """Return what writes a file over the shell on the target.

        radical.saga's own function copies one from here, and may remove it here before the copy has begun; neither that
        nor a full disk is noticed.
        """

        def write_to_remote(src: str, tgt: str) -> None:
            self.written.append(tgt)
            code, said, _ = run_sync(f"printf %s {shlex.quote(self._apply(src))} >{shlex.quote(tgt)}")
            if code != 0:
                raise OSError(f"the batch script {tgt} cannot be written: {said.strip()}")

        return write_to_remote

    def run(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap the function that runs a command: some adaptors write the script with one."""

        def run_sync(command: str, *more: Any, **named: Any) -> Any:
            if "SCRIPTFILE" in command:
                command = self._apply(command).rstrip().replace(_ENDS_THE_CHAIN, "")
            if (
                "rm -f $SCRIPTFILE" in command
            ):  # Cobalt needs the file; others would keep it when they take no job
                command += _AND_REMOVE
            return original(command, *more, **named)

        return run_sync

    def _apply(self, text: str) -> str:
        for old, new in self._edits:
            if old not in text:
                raise ValueError(f"the batch script of this version of radical.saga has no {old!r}")
            text = text.replace(old, new, 1)
        return text


def _text_of(error: BaseException) -> str:
    """Return what an error says, with its causes, which radical.saga hides behind texts that say nothing.

    It also raises errors that are their own cause.
    """
    texts: list[str] = []
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        text = str(cause) or type(cause).__name__
        if not any(text in before for before in texts):
            texts.append(text)
        seen.append(cause)
        cause = cause.__cause__
    return "\n".join(texts)
