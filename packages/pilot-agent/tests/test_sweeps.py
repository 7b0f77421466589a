"""Ranks that others have started: found by their environment, signaled, ended, and told to be gone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from executor_driver import Head
from pilot_agent.spawn.markers import Owner, kill_units, marked_processes

SPEAK = "trap 'echo terminated; exit 3' TERM; echo ready; while :; do read line; done"


class Strangers:
    """Processes that are no descendants of any executor, as ranks are that another host's launcher has started."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.all: list[subprocess.Popen[bytes]] = []

    def start(self, sandbox: Path, unit: str = "cu-1", attempt: int = 1) -> subprocess.Popen[bytes]:
        """Start one that belongs to a unit and wait until it is ready."""
        marks = {"PILOT_SANDBOX": str(sandbox), "PILOT_UNIT_ID": unit, "PILOT_UNIT_ATTEMPT": str(attempt)}
        rank = subprocess.Popen(
            ["/bin/sh", "-c", SPEAK], env=marks, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._stack.callback(rank.communicate)
        self._stack.callback(rank.kill)
        assert rank.stdout is not None
        assert rank.stdout.readline() == b"ready\n"
        self.all.append(rank)
        return rank

    def close(self) -> None:
        """End them all."""
        self._stack.close()


@pytest.fixture
def strangers() -> Iterator[Strangers]:
    with closing(Strangers()) as strangers:
        yield strangers


def test_processes_are_known_by_the_environment_they_began_with(strangers: Strangers, tmp_path: Path) -> None:
    mine = strangers.start(tmp_path, "cu-7", 2)
    strangers.start(tmp_path / "other")
    assert marked_processes(str(tmp_path)) == {mine.pid: Owner("cu-7", "2")}


def test_the_processes_of_one_unit_are_killed(strangers: Strangers, tmp_path: Path) -> None:
    mine, other = strangers.start(tmp_path), strangers.start(tmp_path, "cu-2")
    kill_units(str(tmp_path), {("cu-1", "1")})
    assert mine.wait() == -9
    assert other.poll() is None


def test_a_sweep_kills_the_ranks_of_one_attempt_and_says_so(
    head: Head, strangers: Strangers, tmp_path: Path
) -> None:
    ranks = [strangers.start(tmp_path) for _ in range(3)]
    later, another = strangers.start(tmp_path, attempt=2), strangers.start(tmp_path, "cu-2")
    head.send("sweep", [["cu-1", 1, 9]])
    assert head.swept() == ["cu-1"]
    assert [rank.wait() for rank in ranks] == [-9] * 3
    assert (later.poll(), another.poll()) == (None, None)


def test_a_sweep_that_finds_nothing_says_so_too(head: Head) -> None:
    head.send("sweep", [["cu-1", 1, 9], ["cu-2", 1, 9]])
    assert sorted(head.swept()) == ["cu-1", "cu-2"]


def test_a_milder_sweep_signals_and_is_not_answered(head: Head, strangers: Strangers, tmp_path: Path) -> None:
    rank = strangers.start(tmp_path)
    head.send("sweep", [["cu-1", 1, 15]])
    assert rank.stdout is not None
    assert rank.stdout.readline() == b"terminated\n"
    assert rank.wait() == 3
    head.send("sweep", [["cu-2", 1, 9]])
    assert head.swept() == ["cu-2"], "the first answer there is"


def test_units_that_go_on_are_not_swept(head: Head, tmp_path: Path) -> None:
    head.start(head.order("cu-2", ["/bin/sleep", "600"]))
    head.wait_started("cu-2")
    head.send("sweep", [["cu-1", 1, 9]])
    assert head.swept() == ["cu-1"]
    head.send("signal", [["cu-2", 9]])
    assert head.end("cu-2")["signal"] == 9


def test_an_executor_that_ends_leaves_no_rank_of_its_pilot(
    head: Head, strangers: Strangers, tmp_path: Path
) -> None:
    mine, other = strangers.start(tmp_path), strangers.start(tmp_path / "other")
    head.close()
    assert mine.wait() == -9
    assert other.poll() is None


def test_a_frame_that_makes_no_sense_is_passed_over(head: Head) -> None:
    head.send("sweep", [["cu-1"]])
    head.send("sweep", 7)
    head.send("sweep", [["cu-1", 1, 9]])
    assert head.swept() == ["cu-1"]
