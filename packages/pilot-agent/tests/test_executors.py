"""The executors of a head; with real processes in a process of their own, since their loss ends all its other children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from executor_driver import encode_frame
from pilot_agent.executors import Executors
from pilot_agent.node.frames import MAX_FRAME_BYTES, PROTOCOL, FrameError

_HEAD = """\
import asyncio, json, os, signal, sys
from pilot_agent import events
from pilot_agent.executors import Executors
from pilot_agent.spawn.prctl import become_subreaper

sandbox, journal, orders = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])

async def main():
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    def broken(loop, context):
        print("broken", context["exception"], flush=True)
        over.set()
    loop.set_exception_handler(broken)
    def dispatch(event):
        print(type(event).__name__, flush=True)
        if isinstance(event, events.ExecutorEvents) and event.started:
            os.kill(executors._links[0].pid, signal.SIGKILL)
        if isinstance(event, events.ExecutorUp):
            over.set()
    executors = Executors(sandbox, journal, None, dispatch)
    executors.start(1)
    executors.send(0, "start", orders)
    await over.wait()
    await executors.stop(5.0)

become_subreaper()
asyncio.run(main())
"""


def head_with_an_executor(sandbox: Path, journal: Path, *orders: dict[str, Any]) -> list[str]:
    command = [sys.executable, "-c", _HEAD, str(sandbox), str(journal), json.dumps(orders)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return ended.stdout.splitlines()


def test_a_dead_executor_is_replaced_and_its_unit_is_gone(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    unit = {
        "id": "cu-a-1",
        "attempt": 1,
        "exe": "/bin/sh",
        "args": ["-c", f"exec sleep 600 > {fifo}"],
        "cores": [0],
        "sandbox": f"{tmp_path}/cu-a-1",
    }
    # The unit holds the fifo open, unless it is killed before it could: its end is the end of this reader, once we let go.
    holding = os.open(fifo, os.O_RDWR)
    with subprocess.Popen(["cat", fifo], stdout=subprocess.DEVNULL) as reader:
        heard = head_with_an_executor(tmp_path, tmp_path / "journal", unit)
        assert heard[:3] == ["ExecutorEvents", "ExecutorLost", "ExecutorUp"]
        os.close(holding)
        assert reader.wait(timeout=10) == 0


def test_an_executor_that_cannot_start_is_not_started_for_ever(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.touch()
    (broken,) = head_with_an_executor(tmp_path, journal)
    assert broken.startswith("broken executor 0 (pid ")
    assert broken.endswith("ended before it was ready")


class Wire:
    """Takes frames as a link does, and notes what was in them."""

    def __init__(self) -> None:
        self.contents: list[Sequence[Any]] = []

    def send(self, frame: Any) -> None:
        encode_frame(frame)
        self.contents.append(frame[1])


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def executors(wire: Wire, tmp_path: Path) -> Executors:
    executors = Executors(str(tmp_path), str(tmp_path), None, lambda _event: None)
    executors._links = [wire]  # type: ignore[list-item]
    return executors


def test_an_executor_of_another_version_is_refused(executors: Executors) -> None:
    with pytest.raises(
        RuntimeError, match=f"executor 0 speaks version 0 of the frames, its head version {PROTOCOL};"
    ):
        executors._hear(0, ["hello", {"pid": 1, "protocol": 0}])
    executors._hear(0, ["hello", {"pid": 1, "protocol": PROTOCOL}])
    assert executors._ready == {0}


def test_orders_that_are_too_long_for_one_frame_come_in_several(executors: Executors, wire: Wire) -> None:
    text = "x" * (MAX_FRAME_BYTES // 3)
    orders = [(number, text) for number in range(5)]
    executors.send(0, "start", orders)
    assert len(wire.contents) > 1
    assert [order for content in wire.contents for order in content] == orders


def test_an_order_that_is_too_long_alone_is_a_mistake(executors: Executors) -> None:
    with pytest.raises(FrameError):
        executors.send(0, "start", ["x" * MAX_FRAME_BYTES])
