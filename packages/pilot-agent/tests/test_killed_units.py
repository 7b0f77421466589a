"""An executor on another node than the head's: units that are killed there may be victims of what ends the whole node."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from executor_driver import CORES, Head, Signpost
from pilot_agent.node.executor import HOLD_S
from pilot_agent.node.launcher import StartedExecutor

FOR_EVER_S = 1e6
_BOOT = "import sys; from pilot_agent.node import executor; executor.HOLD_S = float(sys.argv.pop()); executor.main()"


@contextmanager
def far_head(sandbox: Path, hold_s: float = HOLD_S) -> Iterator[Head]:
    """Give the head of an executor that a warden guards; killed units wait there for `hold_s`."""
    guard, kept = os.pipe()

    def start(sandbox: str, number: int, journal: str) -> StartedExecutor:
        ours, theirs = socket.socketpair()
        fds = {"fd": theirs.fileno(), "guard": guard}
        options = json.dumps({"sandbox": sandbox, "executor": number, "journal": journal, **fds})
        argv = [sys.executable, "-c", _BOOT, options, str(hold_s)]
        inherited = [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in fds.values()]
        with theirs:
            return StartedExecutor(os.posix_spawn(argv[0], argv, os.environ, file_actions=inherited), ours)

    head = Head(sandbox, start)
    os.close(guard)
    try:
        yield head
    finally:
        os.close(kept)
        head.close()


def kill_and_wait(pid: int) -> None:
    """Kill a process that somebody else is to reap, and wait until it is dead."""
    process = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([process], [], [])
    os.close(process)


def sleeping(head: Head, unit: str) -> int:
    """Start a unit that sleeps; return its pid."""
    head.start(head.order(unit, ["/bin/sleep", "600"]))
    return head.wait_started(unit)


def test_what_ended_by_itself_is_told_and_written_down_while_a_killed_unit_waits(tmp_path: Path) -> None:
    gate = Signpost(tmp_path / "gate")
    with far_head(tmp_path, FOR_EVER_S) as head:
        killed = sleeping(head, "cu-killed")
        head.start(head.order("cu-other", ["/bin/sh", "-c", f"read line < {gate.path}"], cores=CORES[-1:]))
        head.wait_started("cu-other")
        kill_and_wait(killed)
        gate.write("go")
        assert head.end("cu-other")["code"] == 0
        assert [record[:2] for record in head.records()] == [["E", "cu-other"]]
        assert list(head.ends) == ["cu-other"]
    end = head.recovery().ended[("cu-killed", 1)]
    assert (end["signal"], end["reason"]) == (9, "lost")


def test_nothing_follows_a_killed_unit_while_it_waits(tmp_path: Path) -> None:
    with far_head(tmp_path, FOR_EVER_S) as head:
        killed = sleeping(head, "cu-killed")
        head.start(head.order("cu-next", ["/bin/true"], cores=None))
        kill_and_wait(killed)
        assert head.run("cu-other", ["/bin/true"], width=2)["code"] == 0
    assert head.recovery().ended[("cu-killed", 1)]["reason"] == "lost"
    assert ["U", "cu-next", 1] in head.records()
    assert ["B", "cu-next", 1] not in head.records()


def test_a_unit_that_was_killed_alone_has_failed_and_is_followed(tmp_path: Path) -> None:
    with far_head(tmp_path) as head:
        killed = sleeping(head, "cu-killed")
        head.start(head.order("cu-next", ["/bin/true"], cores=None))
        kill_and_wait(killed)
        end = head.end("cu-killed")
        assert (end["signal"], end["reason"]) == (9, "signal")
        assert head.end("cu-next")["code"] == 0
        assert head.successors["cu-killed"] == "cu-next"


def test_a_unit_that_was_told_to_end_does_not_wait(tmp_path: Path) -> None:
    with far_head(tmp_path, FOR_EVER_S) as head:
        sleeping(head, "cu-1")
        head.send("signal", [["cu-1", signal.SIGKILL]])
        assert head.end("cu-1")["reason"] == "signal"
