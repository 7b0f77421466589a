"""The script of the ranks, run by every shell that may be /bin/sh."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from executor_driver import CORES
from pilot_agent.launch.rank_script import ANY_RANK, FAILED, RankScript, Slot, quote, rank_script

SHELLS = {"dash": ["dash"], "bash": ["bash"], "bash as sh": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
BASE = {"PATH": "/usr/bin:/bin", "HOME": "/home/user"}


class Launched:
    """Ranks that a launcher would start all at once.

    Args:
        shell: What runs the script.
        folder: An empty folder.
    """

    def __init__(self, shell: list[str], folder: Path) -> None:
        self.shell = shell
        self.work = folder / "wor'k"
        self.launch = folder / "launch"
        self.work.mkdir()
        self.launch.mkdir()

    def run(
        self, *argv: str, nodes: str = "0", base: Mapping[str, str] = BASE, **keys: Any
    ) -> list[tuple[int, str]]:
        """Run a rank for each letter of `nodes`, the number of its node; return exit code and output of each."""
        slots = [Slot(int(node), str(CORES[0])) for node in nodes]
        what = RankScript(
            **{
                "slots": slots,
                "rank_variables": ["OTHER_RANK", "SOME_RANK"],
                "launch_folder": str(self.launch),
                "folder": str(self.work),
                "argv": argv,
                **keys,
            }
        )
        script = self.launch / "launch.sh"
        script.write_bytes(os.fsencode(rank_script(what)))
        started = [self._start(script, {**base, "SOME_RANK": str(rank)}) for rank in range(len(slots))]
        ends = []
        for rank in started:
            said, _ = rank.communicate(b"of the launcher\n")
            ends.append((rank.returncode, os.fsdecode(said)))
        return ends

    def _start(self, script: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*self.shell, script],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def failed(self) -> str:
        """What the first rank that failed has written."""
        return (self.launch / FAILED).read_text().strip()


@pytest.fixture(params=SHELLS)
def launched(request: pytest.FixtureRequest, tmp_path: Path) -> Launched:
    shell = SHELLS[request.param]
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no server: {shell[0]} is not installed")
    return Launched(shell, tmp_path)


def test_a_rank_runs_its_program_in_the_working_directory(launched: Launched) -> None:
    assert launched.run("/bin/pwd") == [(0, f"{launched.work}\n")]
    assert not (launched.launch / FAILED).exists()


HOSTILE = {
    "QUOTES": "it's \"quoted\" '",
    "LINES": "one\ntwo\n",
    "DOLLARS": "$HOME ${HOME} $(id) `id` $$",
    "BACKSLASHES": "\\n \\' \\",
    "PATTERNS": "* ? [a-z] ~ ! # ; & | < >",
    "EMPTY": "",
    "BYTES": os.fsdecode(b"\xff\xfe"),
    "WORDS": "ünï çødé ☃",
    "LONG": "x" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_value_of_the_environment_arrives_as_it_is(launched: Launched, name: str) -> None:
    value = HOSTILE[name]
    ((code, said),) = launched.run("/usr/bin/printenv", name, environment={name: value})
    assert (code, said) == (0, f"{value}\n")


@pytest.mark.parametrize("name", HOSTILE)
def test_an_argument_arrives_as_it_is(launched: Launched, name: str) -> None:
    ((code, said),) = launched.run("/usr/bin/printf", "%s|", HOSTILE[name], ":")
    assert (code, said) == (0, f"{HOSTILE[name]}|:|")


def test_the_number_of_the_rank_goes_where_it_is_asked_for(launched: Launched) -> None:
    ends = launched.run(
        "/bin/sh",
        "-c",
        'echo "$PILOT_RANK $0 $NAME"',
        f"a'{ANY_RANK}'",
        nodes="000",
        environment={"NAME": f"n{ANY_RANK}"},
    )
    assert [said for _, said in ends] == [f"{rank} a'{rank}' n{rank}\n" for rank in range(3)]


def test_a_rank_that_is_told_no_number_says_where_it_looked(launched: Launched) -> None:
    ((code, said),) = launched.run("/bin/true", rank_variables=["A_RANK", "B_RANK"])
    assert code == 1
    assert "the launcher has told no rank of 0 to 0: '' is what it says in A_RANK, B_RANK" in said
    assert launched.failed == "? 1 rank"


def test_a_rank_has_its_cores_and_gpus(launched: Launched) -> None:
    slots = [Slot(0, str(core), "3,5" if core == CORES[0] else "") for core in CORES]
    script = "grep Cpus_allowed_list /proc/self/status | cut -f 2; echo $CUDA_VISIBLE_DEVICES $ROCR_VISIBLE_DEVICES"
    ends = launched.run(
        "/bin/sh",
        "-c",
        script,
        nodes="0" * len(slots),
        slots=slots,
        is_pinned=True,
        environment={"CUDA_VISIBLE_DEVICES": "7"},
    )
    # `nodes` makes as many ranks as there are slots.
    assert [said.split() for _, said in ends] == [
        [str(slot.cores), *([slot.gpus] * 2 if slot.gpus else ["7"])] for slot in slots
    ]


def test_a_rank_without_taskset_runs_and_says_that_it_is_not_bound(
    launched: Launched, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "uname").symlink_to("/bin/uname")
    shell = shutil.which(launched.shell[0])
    assert shell is not None
    launched.shell = [shell, *launched.shell[1:]]
    if "busybox" in shell:
        pytest.skip("it has a taskset of its own")
    ((code, said),) = launched.run("/bin/echo", "ran", is_pinned=True, base={"PATH": str(tools)})
    assert (code, said.splitlines()[-1]) == (0, "ran")
    assert f"rank 0 is not bound to its cores {CORES[0]}: there is no taskset" in said


def test_a_core_that_is_not_there_ends_the_rank(launched: Launched) -> None:
    ((code, _),) = launched.run("/bin/true", slots=[Slot(0, "4000")], is_pinned=True)
    assert (code, launched.failed) == (1, "0 1 binding")


def test_rank_0_alone_reads_the_input(launched: Launched, tmp_path: Path) -> None:
    (tmp_path / "it's").write_text("hello\n")
    assert launched.run("/bin/cat", nodes="00", stdin=str(tmp_path / "it's")) == [(0, "hello\n"), (0, "")]
    assert launched.run("/bin/cat", nodes="00") == [(0, ""), (0, "")]


def test_each_rank_has_files_of_its_own(launched: Launched, tmp_path: Path) -> None:
    out = str(tmp_path / f"it's/{ANY_RANK}/out")
    script = "echo out; echo err >&2"
    launched.run("/bin/sh", "-c", script, nodes="00", stdout=out, stderr=str(tmp_path / f"e{ANY_RANK}"))
    assert [(tmp_path / f"it's/{rank}/out").read_text() for rank in (0, 1)] == ["out\n"] * 2
    assert [(tmp_path / f"e{rank}").read_text() for rank in (0, 1)] == ["err\n"] * 2
    assert (tmp_path / "e0").stat().st_mode & 0o777 == 0o600
    launched.run("/bin/sh", "-c", script, stdout=out, stderr=out)
    assert (tmp_path / "it's/0/out").read_text() == "out\nerr\n"


def test_the_first_rank_that_fails_is_told(launched: Launched) -> None:
    ends = launched.run("/bin/sh", "-c", 'exit "$PILOT_RANK"', nodes="01")
    assert ([code for code, _ in ends], launched.failed) == ([0, 1], "1 1 exit")


def test_a_program_that_a_signal_ends_is_told_as_shells_do(launched: Launched) -> None:
    ((code, _),) = launched.run("/bin/sh", "-c", "kill -SEGV $$")
    assert (code, launched.failed) == (139, "0 139 exit")


def test_a_signal_to_the_rank_waits_for_the_program(launched: Launched) -> None:
    ((code, said),) = launched.run("/bin/sh", "-c", "kill -TERM $PPID; echo after; exit 4")
    assert (code, said) == (4, "after\n")


PRE = [
    "echo pre >>$COUNT",
    "export LINES='one\ntwo=$X' NUMBER=5",
    "PATH=/opt/bin:$PATH",
    "unset GONE",
    'mkdir -p "it\'s here"; cd "it\'s here"',
    "umask 027; ulimit -S -s 1000",
    "read -r nothing || :  # the unit's input is not for it",
]
SHOW = 'echo "$LINES|$NUMBER|$PATH|$GONE|$(pwd)|$(umask)|$(ulimit -S -s)|$SOME_RANK|$PILOT_RANK|$KEPT"'


def test_pre_exec_runs_once_on_each_node_and_counts_for_all_its_ranks(
    launched: Launched, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    ends = launched.run(
        "/bin/sh",
        "-c",
        SHOW,
        nodes="00001111",
        environment={"COUNT": str(count), "GONE": "x", "KEPT": "it's\nkept"},
        pre_exec=PRE,
    )
    assert count.read_text() == "pre\npre\n"
    assert ends == [
        (
            0,
            (
                "one\ntwo=$X|5|/opt/bin:/usr/bin:/bin||"
                f"{launched.work}/it's here|0027|1000|{rank}|{rank}|it's\nkept\n"
            ),
        )
        for rank in range(8)
    ]


@pytest.mark.parametrize("line", ["(exit 7)", "exit 7", "false || exit 7", "sh -c 'exit 7'"])
def test_a_failing_pre_exec_ends_all_ranks_of_its_node(launched: Launched, line: str) -> None:
    ends = launched.run("/bin/echo", "never", nodes="0000", pre_exec=[line, "echo neither"])
    assert ends == [(7, "")] * 4
    assert launched.failed.split()[1:] == ["7", "pre_exec"]


def test_pre_exec_runs_once_where_files_cannot_be_locked(launched: Launched, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "flock").write_text("#!/bin/sh\necho 'flock: not supported' >&2; exit 1\n")
    (tools / "flock").chmod(0o755)
    if "busybox" in launched.shell[0]:
        pytest.skip("it has a flock of its own")
    ends = launched.run(
        "/bin/sh",
        "-c",
        "echo $X",
        nodes="0000",
        base={"PATH": f"{tools}:/usr/bin:/bin"},
        pre_exec=[f"echo pre >>{tmp_path}/count", "export X=set"],
    )
    assert ends == [(0, "set\n")] * 4
    assert (tmp_path / "count").read_text() == "pre\n"


def test_what_a_pre_exec_leaves_running_does_not_hold_up_the_others(launched: Launched) -> None:
    ends = launched.run("/bin/echo", "ran", nodes="00", pre_exec=["sleep 600 >/dev/null 2>&1 & echo $! >pid"])
    subprocess.run(["kill", (launched.work / "pid").read_text().strip()], check=True)
    assert ends == [(0, "ran\n")] * 2


def test_a_program_that_is_not_there_is_told(launched: Launched) -> None:
    ((code, said),) = launched.run("no-such-program")
    assert (code, launched.failed) == (127, "0 127 exit")
    assert "not found" in said


def test_quoting_a_text_without_rank() -> None:
    assert quote("it's") == "'it'\\''s'"
