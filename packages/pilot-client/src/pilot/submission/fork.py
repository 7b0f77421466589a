"""Pilots on this machine: the agent is a process beside the application, in a session of its own.

Its processes hold the writing end of a pipe, the lifeline. When the last of them is gone, whatever ended them, the pipe
ends, and the pilot's units can go elsewhere at once, without waiting for its lease.

The invariant: the file with the secrets is its owner's alone, and no file in a sandbox can stand in for a module.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pilot.pilot_data_door import copy_to_sandbox
from pilot_protocol.errors import CoordinationError, SubmissionError
from pilot_protocol.specs import PilotSpec
from pilot_protocol.user_warnings import warn_user
from pilot_session.private_files import write_private

from . import agent_settings
from .base import AgentEnd, Notify, PilotOrder
from .process_session import kill_members, kill_session

logger = logging.getLogger(__name__)

LOG_TAIL_BYTES = 4096
LOCAL_HOSTS = frozenset({"", "localhost", "127.0.0.1", "::1"})
END_S = 5.0
"""How long an agent's first process may take to end after its last descriptor was closed."""

_NEUTRAL_FOLDER = "/"
"""`python -m` looks for modules in the current folder first; nobody but root puts one here."""


class ForkPlaceholder:
    """An agent on this machine.

    Args:
        order: Its pilot's.
        process: The first of its processes, leader of a session.
        sandbox: The pilot's folder.
        cores: That the pilot holds.
    """

    def __init__(
        self, order: PilotOrder, process: subprocess.Popen[bytes], sandbox: Path, cores: int
    ) -> None:
        self.job = str(process.pid)
        self.cores = cores
        self._pilot = order.pilot
        self._process = process
        self._sandbox = sandbox
        self._gone = threading.Event()

    @property
    def handle(self) -> str:
        """Empty: only its parent hears of its end."""
        return ""

    @property
    def news(self) -> str:
        """Empty: it waits for nothing."""
        return ""

    def kill(self) -> None:
        """Kill the agent and its units, whatever state they are in: nobody would be left to end those."""
        if self._process.returncode is None:  # once it was reaped, its number may be another one's
            kill_session(self._process.pid)

    def wait(self, timeout_s: float) -> bool:
        """Wait until all processes of the agent are gone, and that was told; returns whether that is so."""
        return self._gone.wait(timeout_s)

    def watch(self, lifeline: int, notify: Notify) -> None:
        """Wait in a thread for the end of the lifeline, and tell of it."""
        name = f"pilot-lifeline {self._pilot}"
        threading.Thread(target=self._await_end, args=(lifeline, notify), name=name, daemon=True).start()

    def _await_end(self, lifeline: int, notify: Notify) -> None:
        with open(lifeline, "rb", buffering=0) as pipe:
            pipe.read()
        kill_members(self._process.pid)  # units without an agent; before others start them again
        try:
            code = self._reap()
            if code:
                _remove_config(self._sandbox)
            notify(AgentEnd(self._pilot, code, _tail(self._sandbox / "agent.err")))
        finally:
            self._gone.set()

    def _reap(self) -> int:
        try:
            return self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            logger.warning("agent.lingers pilot=%s", self._pilot, extra={"action": "agent.lingers"})
            self.kill()
            return self._process.wait()


class ForkSubmitter:
    """Starts agents on this machine."""

    def submit(self, order: PilotOrder, notify: Notify) -> ForkPlaceholder:
        """Start the agent of a pilot.

        Args:
            order: The pilot.
            notify: Told when all of the agent's processes are gone.

        Raises:
            SubmissionError: The host is another one, the working directory cannot be used, or the agent cannot be
                started.
        """
        spec = order.spec
        _refuse_other_machines(spec)
        sandbox = _make_sandbox(spec.working_directory, order.pilot)
        if spec.file_transfer:
            copy_to_sandbox(spec.file_transfer, str(sandbox))
        cores = _cores(spec)
        lifeline, its_end = os.pipe()
        try:
            config = _write_config(order, sandbox, {"cores": cores, "lifeline_fd": its_end})
            process = _start(spec, config, sandbox, its_end)
        except BaseException:
            os.close(lifeline)
            _remove_config(sandbox)
            raise
        finally:
            os.close(its_end)
        placeholder = ForkPlaceholder(order, process, sandbox, cores)
        placeholder.watch(lifeline, notify)
        return placeholder

    def attach(self, order: PilotOrder, _handle: str, _notify: Notify) -> ForkPlaceholder:
        """Refuse: agents on this machine have no handle.

        Raises:
            SubmissionError: Always.
        """
        raise SubmissionError(
            f"pilot {order.pilot} was started by another process of this machine, which ends it"
        )

    def close(self) -> None:
        """Nothing is open."""


def _refuse_other_machines(spec: PilotSpec) -> None:
    host = urlsplit(spec.service_url).hostname or ""
    if host not in LOCAL_HOSTS and host != socket.gethostname().lower():
        raise SubmissionError(
            f"{spec.service_url} names another machine; fork:// starts pilots on localhost only"
        )


def _cores(spec: PilotSpec) -> int:
    here = len(os.sched_getaffinity(0))
    wanted = spec.cores or here
    if wanted > here:
        warn_user(
            f"the pilot has {wanted} cores, this machine {here}: compute units will share cores; "
            "lower number_of_processes for full speed",
            UserWarning,
        )
    return wanted


def _make_sandbox(working_directory: str, pilot: str) -> Path:
    folder = os.path.abspath(os.path.expandvars(os.path.expanduser(working_directory)))
    sandbox = Path(folder, pilot)
    try:
        os.makedirs(folder, exist_ok=True)
        sandbox.mkdir(mode=0o700)
    except OSError as error:
        raise SubmissionError(
            f"the working directory {folder} of pilot {pilot} cannot be used: {error.strerror} ({error.filename}); "
            "name one that you can write to"
        ) from error
    return sandbox


def _write_config(order: PilotOrder, sandbox: Path, more: dict[str, Any]) -> Path:
    path = sandbox / agent_settings.FILE
    try:
        write_private(path, agent_settings.settings_of(order, str(sandbox), more))
    except CoordinationError as error:
        raise SubmissionError(f"the settings of pilot {order.pilot} cannot be written: {error}") from error
    return path


def _remove_config(sandbox: Path) -> None:
    """Remove the secrets of an agent that may not have come to read them."""
    with suppress(OSError):  # it is gone with its folder, or the folder is not ours to write to any more
        (sandbox / agent_settings.FILE).unlink(missing_ok=True)


def _start(spec: PilotSpec, config: Path, sandbox: Path, lifeline: int) -> subprocess.Popen[bytes]:
    command = [spec.python or sys.executable, "-m", "pilot_agent", "--config", str(config)]
    if spec.setup:  # shell lines are what the user gave, so a shell runs them, and becomes the agent
        command = ["/bin/sh", "-c", "\n".join(["set -e", *spec.setup, 'exec "$@"']), "sh", *command]
    try:
        with _log(sandbox / "agent.out") as out, _log(sandbox / "agent.err") as err:
            return subprocess.Popen(
                command,
                cwd=_NEUTRAL_FOLDER,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={**os.environ, **spec.environment},
                pass_fds=(lifeline,),
                start_new_session=True,
            )
    except OSError as error:
        raise SubmissionError(f"the agent cannot be started with {command[0]}: {error.strerror}") from error


def _log(path: Path) -> Any:
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)


def _tail(path: Path) -> str:
    """Return the end of a log; empty when it is gone with its folder."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
            return log.read().decode("utf-8", "replace")
    except OSError:
        return ""
