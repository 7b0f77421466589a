"""Real MPI programs under a real executor: where ranks run, what they are given, how they end."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from executor_driver import CORES, Head, Signpost
from mpi_programs import IMPLEMENTATIONS, Mpi, find_mpi

HOST = socket.gethostname()
two_cores = pytest.mark.skipif(len(CORES) < 2, reason="placing needs two cores to choose from")


@pytest.fixture(params=IMPLEMENTATIONS, scope="module")
def mpi(request: pytest.FixtureRequest) -> Mpi:
    found = find_mpi(request.param)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="module")
def where(mpi: Mpi, tmp_path_factory: pytest.TempPathFactory) -> str:
    if not mpi.compiler:
        pytest.skip("nothing here compiles for it")
    return str(mpi.build(tmp_path_factory.mktemp("where")))


def ranks(mpi: Mpi, *cores: str, **keys: Any) -> dict[str, Any]:
    """Return what an order says in addition for ranks on these cores."""
    return {
        "mpi": {"ranks": [[HOST, each, ""] for each in cores], "pinned": True, "launcher": mpi.family},
        "env": {**mpi.environment, **keys.pop("env", {})},
        **keys,
    }


def shell_ranks(head: Head, mpi: Mpi, script: str, count: int = 2, **keys: Any) -> dict[str, Any]:
    order = ranks(mpi, *["0"] * count, **keys)
    return head.shell("cu-1", script, **order)


@two_cores
def test_ranks_of_an_mpi_program_are_bound_to_their_cores(head: Head, mpi: Mpi, where: str) -> None:
    first, second = CORES[:2]
    end = head.run("cu-1", [where], **ranks(mpi, f"{second}", f"{first}", f"{first},{second}"))
    assert (end["code"], sorted(end["out"].splitlines())) == (
        0,
        [f"0 3 {HOST} {second}", f"1 3 {HOST} {first}", f"2 3 {HOST} {first} {second}"],
    ), end


@pytest.mark.parametrize(
    ("how", "value", "codes"), [("exit", 3, {3}), ("abort", 5, {5}), ("kill", 9, {9, 137})]
)
def test_a_rank_that_dies_ends_the_unit(
    head: Head, mpi: Mpi, where: str, how: str, value: int, codes: set[int]
) -> None:
    end = head.run("cu-1", [where, how, "1", str(value)], **ranks(mpi, "0", "0", "0"))
    assert (end["code"] in codes, end["reason"]) == (True, "exit"), end


def test_ranks_without_mpi_are_ended_by_the_first_that_fails(head: Head, mpi: Mpi) -> None:
    end = shell_ranks(head, mpi, "[ $PILOT_RANK = 1 ] && exit 3; exec sleep 600", 3)
    assert (end["code"], end["reason"], end["message"]) == (3, "exit", "rank 1: exit code 3")


def test_a_rank_that_is_killed_says_so(head: Head, mpi: Mpi) -> None:
    end = shell_ranks(head, mpi, "[ $PILOT_RANK = 1 ] && kill -SEGV $$; exec sleep 600")
    assert end["message"] == "rank 1: exit code 139, which means signal 11 (SIGSEGV)"


def test_ranks_find_their_number_and_the_units_environment(head: Head, mpi: Mpi) -> None:
    hostile = 'it\'s "$HOME" `id`\n\\ end'
    script = 'printf "%s|" $PILOT_RANK $PILOT_RANKS $PILOT_UNIT_ID $PILOT_UNIT_NODES "$HOSTILE" "$0" "$1"'
    end = head.run(
        "cu-1",
        ["/bin/sh", "-c", script.replace("$", "$$"), "n$PILOT_RANK.log", ":"],
        **ranks(
            mpi,
            "0",
            env={"PILOT_RANKS": "1", "PILOT_UNIT_NODES": HOST, "HOSTILE": hostile.replace("$", "$$")},
        ),
    )
    assert end["out"] == f"0|1|cu-1|{HOST}|{hostile}|n0.log|:|", end


def test_pre_exec_runs_once_and_post_exec_once(head: Head, mpi: Mpi) -> None:
    end = head.run(
        "cu-1",
        ["/bin/sh", "-c", "echo rank $X"],
        pre=["echo before", "export X=set"],
        post=["echo after"],
        **ranks(mpi, "0", "0", "0"),
    )
    lines = end["out"].splitlines()
    assert (end["code"], sorted(lines[:-1]), lines[-1]) == (0, ["before", *["rank set"] * 3], "after"), end


def test_failing_pre_exec_ends_the_unit_with_its_code(head: Head, mpi: Mpi) -> None:
    end = head.run("cu-1", ["/bin/echo", "never"], pre=["(exit 7)"], **ranks(mpi, "0", "0"))
    assert (end["code"], "never" in end["out"]) == (7, False), end
    assert end["message"].endswith("pre_exec failed, exit code 7")


def test_input_goes_to_rank_0(head: Head, mpi: Mpi, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("hello\n")
    end = shell_ranks(head, mpi, "echo $PILOT_RANK: $(cat)", 3, stdin=str(tmp_path / "in"))
    assert sorted(end["out"].splitlines()) == ["0: hello", "1:", "2:"], end


def test_each_rank_may_have_files_of_its_own(head: Head, mpi: Mpi, tmp_path: Path) -> None:
    order = ranks(mpi, "0", "0", stdout="out/$PILOT_RANK", stderr="err.$PILOT_RANK")
    end = head.run("cu-1", ["/bin/sh", "-c", "echo out; echo err >&2; pwd"], **order)
    folder = tmp_path / "cu-1"
    assert [(folder / f"out/{rank}").read_text() for rank in (0, 1)] == [f"out\n{folder}\n"] * 2, end
    assert [(folder / f"err.{rank}").read_text() for rank in (0, 1)] == ["err\n"] * 2
    assert os.stat(folder / "out/0").st_mode & 0o777 == 0o600
    assert end["out"] == ""


def test_what_each_rank_prints_comes_in_order(head: Head, mpi: Mpi) -> None:
    # Launchers cut long outputs wherever they like: the ranks print with letters of their own.
    alphabets = ["0123456789", "abcdefghij", "ABCDEFGHIJ"]
    script = "set -- 0-9 a-j A-J; shift $PILOT_RANK; seq 2000 | tr 0-9 $1"
    end = shell_ranks(head, mpi, script, 3, stdout="out")
    printed = Path(end["out_file"]).read_text()
    for alphabet in alphabets:
        numbers = "".join(map(str, range(1, 2001))).translate(str.maketrans("0123456789", alphabet))
        assert "".join(letter for letter in printed if letter in alphabet) == numbers


@pytest.mark.parametrize("signum", [15, 9])
def test_a_signal_reaches_every_rank(head: Head, mpi: Mpi, signpost: Signpost, signum: int) -> None:
    script = f"exec 3> {signpost.path}; echo ready >&3; while :; do sleep 600; done"
    order = ranks(mpi, "0", "0", expand=False)
    head.start(head.order("cu-1", ["/bin/sh", "-c", script], **order))
    assert [signpost.line() for _ in range(2)] == ["ready"] * 2
    head.send("signal", [["cu-1", signum]])
    end = head.end("cu-1")
    assert end["code"] != 0
    signpost.wait_for_silence()


def test_no_rank_survives_the_executor(head: Head, mpi: Mpi, signpost: Signpost) -> None:
    script = f"exec 3> {signpost.path}; setsid sleep 600 & echo ready >&3; while :; do sleep 600; done"
    head.start(head.order("cu-1", ["/bin/sh", "-c", script], **ranks(mpi, "0", "0", expand=False)))
    assert [signpost.line() for _ in range(2)] == ["ready"] * 2
    head.close()
    signpost.wait_for_silence()
