"""Finding and ending process trees: the bookkeeping on invented tables, the rest on real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from executor_driver import Signpost
from pilot_agent.spawn.oom import OomWatch
from pilot_agent.spawn.process_tree import MARKER, Process, ProcessTable, kill, kill_descendants, signal_tree
from pilot_agent.spawn.reaper import signal_group

TABLE = ProcessTable(
    {
        1: Process(0, 1),
        10: Process(1, 10),
        20: Process(10, 20),
        21: Process(20, 20),
        22: Process(21, 22),
        30: Process(10, 20),
        40: Process(10, 40),
        41: Process(40, 40),
        99: Process(1, 99),
    }
)


def test_descendants_are_children_and_theirs() -> None:
    assert sorted(TABLE.descendants(10)) == [20, 21, 22, 30, 40, 41]
    assert TABLE.descendants(22) == []
    assert TABLE.descendants(12345) == []


def test_spared_processes_protect_what_is_below_them() -> None:
    assert sorted(TABLE.descendants(10, spare={20})) == [30, 40, 41]


def test_units_are_told_by_leader_then_group() -> None:
    units = TABLE.units(10, {20: "cu-1"})
    assert sorted(units["cu-1"]) == [20, 21, 22, 30]
    assert sorted(units[""]) == [40, 41], "adopted, and not to be told"


def test_units_are_told_by_the_marker_of_adopted_processes() -> None:
    variables = {"A": "1", MARKER: "cu-7", "B": "2"}
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables) as cat:
        assert cat.stdin is not None
        assert cat.stdout is not None
        cat.stdin.write(b"ready\n")
        cat.stdin.flush()
        assert cat.stdout.readline() == b"ready\n", "a program that is being loaded shows no environment yet"
        assert ProcessTable.read().units(os.getpid(), {})["cu-7"] == [cat.pid]


def test_table_of_this_machine_holds_this_process() -> None:
    table = ProcessTable.read()
    assert table.processes[os.getpid()] == Process(os.getppid(), os.getpgrp())


def test_names_of_programs_cannot_confuse_the_table(tmp_path: Path) -> None:
    program = tmp_path / ") R 1 1 ("
    program.symlink_to("/bin/cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE) as cat:
        assert ProcessTable.read().processes[cat.pid].parent == os.getpid()


def test_kill_asks_until_nothing_new_is_found() -> None:
    cats = [subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) for _ in range(3)]
    looks = iter([[cats[0].pid], [cats[0].pid, cats[1].pid], [cats[2].pid], [cats[0].pid]])
    kill(lambda: next(looks))
    assert [cat.wait() for cat in cats] == [-9, -9, -9]
    assert next(looks, None) is None
    for cat in cats:
        cat.communicate()


def test_kill_gives_up_on_what_never_stops_appearing() -> None:
    gone = 2**22 + 1  # above the largest number a process can have
    numbers = iter(range(gone, gone + 1000))
    kill(lambda: [next(numbers)])
    assert next(numbers) < gone + 999


def test_everything_below_a_process_is_killed(tmp_path: Path) -> None:
    signpost = Signpost(tmp_path / "signpost")
    script = f"exec 3> {signpost.path}; cat & setsid cat & echo ready >&3; exec 3>&-; read line; exit 5"
    with subprocess.Popen(["/bin/sh", "-c", script], stdin=subprocess.PIPE) as shell:
        assert signpost.line() == "ready"
        kill_descendants(shell.pid)
        signpost.wait_for_silence()
        shell.communicate(b"go\n")
    assert shell.returncode == 5


def test_signal_tree_reaches_group_and_others(tmp_path: Path) -> None:
    signpost = Signpost(tmp_path / "signpost")
    other = "setsid /bin/sh -c 'echo ready >&3; exec sleep 1000'"  # in a session of its own when it is ready
    script = f"exec 3> {signpost.path}; {other} & sleep 1000"
    with subprocess.Popen(["/bin/sh", "-c", script], start_new_session=True) as shell:
        assert signpost.line() == "ready"
        table = ProcessTable.read()
        signal_tree(table, shell.pid, table.descendants(shell.pid), 15)
        signpost.wait_for_silence()
    assert shell.returncode == -15


def test_signal_to_a_group_that_is_gone_is_no_error() -> None:
    signal_group(2**22 + 1, 15)


REAP = """
import os
from pilot_agent.spawn.reaper import reap
assert reap({}) == ([], False)
leader = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {}, setpgroup=0)
orphan = os.posix_spawn("/bin/true", ["true"], {})
for pid in (leader, orphan):
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
exits, children_left = reap({leader})
assert [(exit_.pid, exit_.code) for exit_ in exits] == [(leader, 3)]
assert not children_left
"""


def test_reap_tells_leaders_from_orphans_and_the_last_child_from_others() -> None:
    # In a process of its own: this one may have children of other tests.
    subprocess.run([sys.executable, "-c", REAP], check=True)


@pytest.mark.parametrize("counters", [b"nr_free 5\noom_kill {}\nlast 1\n", b"low 0\noom 1\noom_kill {}\n"])
def test_oom_watch_sees_each_kill_once(tmp_path: Path, counters: bytes) -> None:
    path = tmp_path / "counters"
    path.write_bytes(counters.replace(b"{}", b"3"))
    watch = OomWatch(str(path))
    assert not watch.fresh_kill()
    path.write_bytes(counters.replace(b"{}", b"4"))
    assert [watch.fresh_kill(), watch.fresh_kill()] == [True, False]


def test_oom_watch_without_a_count_sees_none(tmp_path: Path) -> None:
    assert not OomWatch(str(tmp_path / "missing")).fresh_kill()
    (tmp_path / "old-kernel").write_bytes(b"nr_free 5\n")
    assert not OomWatch(str(tmp_path / "old-kernel")).fresh_kill()
