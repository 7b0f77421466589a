"""A launcher of MPI programs that fails before any rank has begun is started a second time, and only then."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from executor_driver import Head, Signpost
from mpi_programs import find_mpi

REAL = shutil.which("mpirun.openmpi")


@pytest.fixture(autouse=True)
def _open_mpi() -> None:
    if isinstance(found := find_mpi("openmpi"), str):
        pytest.skip(found)


class Launcher:
    """An ``mpirun`` that does something else before it is the real one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "bin"
        self._folder.mkdir()
        self._calls = folder / "calls"

    def write(self, script: str) -> None:
        """Have it run `script` first, in which `$n` says how often it was called."""
        program = self._folder / "mpirun"
        program.write_text(
            f'#!/bin/sh\n[ "$1" = --version ] && exec {REAL} "$@"\n'
            f'echo >>{self._calls}; n=$(wc -l <{self._calls})\n{script}\nexec {REAL} "$@"\n'
        )
        program.chmod(0o700)

    def order(self, **keys: Any) -> dict[str, Any]:
        """Return what an order says in addition for two ranks that it starts."""
        return {
            "mpi": {"ranks": [[socket.gethostname(), "0", ""]] * 2, "pinned": True, "launcher": "openmpi"},
            "env": {"PATH": f"{self._folder}:$PATH"},
            **keys,
        }

    @property
    def calls(self) -> int:
        return len(self._calls.read_text().splitlines())


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)


@pytest.mark.parametrize("failure", ["echo in the way >&2; exit 1", "kill -PIPE $$"])
def test_a_launcher_that_fails_before_any_rank_is_started_again(
    head: Head, launcher: Launcher, failure: str
) -> None:
    launcher.write(f"[ $n -gt 1 ] || {{ {failure}; }}")
    end = head.run("cu-1", ["/bin/echo", "ran"], **launcher.order())
    assert (end["code"], end["out"].split(), launcher.calls) == (0, ["ran", "ran"], 2), end


def test_one_that_fails_again_says_that_no_rank_has_begun(head: Head, launcher: Launcher) -> None:
    launcher.write("echo call $n >&2; exit 5")
    end = head.run("cu-1", ["/bin/echo", "ran"], **launcher.order())
    assert (end["code"], end["reason"], end["out"]) == (5, "exit", ""), end
    assert end["message"] == "exit code 5; the launcher failed before any rank had begun"
    assert (end["err"].split("\n")[-2], launcher.calls) == ("call 2", 2)


def test_what_has_begun_is_not_repeated(head: Head, launcher: Launcher, tmp_path: Path) -> None:
    launcher.write("")
    argv = ["/bin/sh", "-c", f"echo >>{tmp_path}/ran; exit 3"]
    end = head.run("cu-1", argv, expand=False, **launcher.order())
    assert (end["code"], launcher.calls) == (3, 1), end
    assert "exit code 3" in end["message"]
    assert "begun" not in end["message"]


@pytest.mark.parametrize("signum", [15, 9])
def test_one_that_is_told_to_end_is_not_started_again(
    head: Head, launcher: Launcher, signpost: Signpost, signum: int
) -> None:
    launcher.write(f"exec 3>{signpost.path}; echo ready >&3; exec sleep 600")
    head.start(head.order("cu-1", ["/bin/echo", "ran"], **launcher.order()))
    assert signpost.line() == "ready"
    head.send("signal", [["cu-1", signum]])
    end = head.end("cu-1")
    assert (end["signal"], launcher.calls) == (signum, 1), end


def test_one_that_cannot_be_started_again_has_failed(head: Head, launcher: Launcher, tmp_path: Path) -> None:
    launcher.write(f"cd {tmp_path}/cu-1; rm out; mkdir out; exit 5")
    end = head.run("cu-1", ["/bin/echo", "ran"], **launcher.order(stdout="out", stderr="err"))
    assert (end["code"], launcher.calls) == (5, 1), end


def test_many_that_start_at_once_in_a_new_folder_for_sessions(head: Head, tmp_path: Path) -> None:
    # Without a second start, one in fifty has found the folder that all share removed by another.
    order = {
        "mpi": {"ranks": [[socket.gethostname(), "0", ""]], "pinned": True, "launcher": "openmpi"},
        "env": {"TMPDIR": str(tmp_path)},
    }
    units = [f"cu-{number}" for number in range(8)]
    head.start(*[head.order(unit, ["/bin/true"], **order) for unit in units])
    assert [head.end(unit)["code"] for unit in units] == [0] * 8
