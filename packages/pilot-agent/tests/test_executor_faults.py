"""A real executor: signals, what units leave behind, and the death of the head. Nothing may survive."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from executor_driver import CORES, Head, Signpost
from pilot_agent.spawn.end_signals import END_SIGNALS

DAEMON = "setsid /bin/sh -c 'trap \"\" TERM HUP; echo ready > {0}; exec sleep 1000' 3> {0} &"
"""Leaves the process group and the session, ignores what can be ignored, holds the signpost open."""


def start_shell(head: Head, unit: str, script: str) -> int:
    head.start(head.order(unit, ["/bin/sh", "-c", script], expand=False))
    return head.wait_started(unit)


def test_what_a_unit_left_does_not_meet_the_next_one(head: Head, signpost: Signpost) -> None:
    used = head.shell("cu-1", "pwd")["out"]
    left = head.shell("cu-2", f"pwd; {DAEMON.format(signpost.path)} read line < {signpost.path}")["out"]
    signpost.wait_for_silence()
    assert left == used, "a lane is used again"
    assert head.shell("cu-3", "pwd")["out"] != left, "unless somebody may still write there"


def test_term_ends_a_unit(head: Head) -> None:
    head.start(head.order("cu-1", ["/bin/sleep", "1000"]))
    head.wait_started("cu-1")
    head.send("signal", [["cu-1", signal.SIGTERM]])
    end = head.end("cu-1")
    assert (end["signal"], end["message"]) == (15, "ended by signal 15 (SIGTERM)")


def test_unit_that_ignores_term_is_ended_by_kill(head: Head, signpost: Signpost) -> None:
    trap = f"trap 'echo ignored > {signpost.path}' TERM; echo ready > {signpost.path}"
    start_shell(head, "cu-1", f"{trap}; while :; do sleep 0.1; done")
    assert signpost.line() == "ready"
    head.send("signal", [["cu-1", signal.SIGTERM]])
    assert signpost.line() == "ignored"
    head.send("signal", [["cu-1", signal.SIGKILL]])
    assert head.end("cu-1")["signal"] == 9


def test_signal_reaches_a_process_outside_of_the_group(head: Head, signpost: Signpost) -> None:
    inner = f'trap "echo got it > {signpost.path}; exit" USR1; echo ready > {signpost.path}; while :; do sleep 0.1; done'
    start_shell(head, "cu-1", f"trap : USR1; setsid /bin/sh -c '{inner}'; echo rest")
    assert signpost.line() == "ready"
    head.send("signal", [["cu-1", signal.SIGUSR1]])
    assert signpost.line() == "got it"
    assert head.end("cu-1")["out"] == "rest\n"


def test_kill_reaches_daemons(head: Head, signpost: Signpost) -> None:
    start_shell(head, "cu-1", DAEMON.format(signpost.path) + " sleep 1000")
    assert signpost.line() == "ready"
    head.send("signal", [["cu-1", signal.SIGKILL]])
    assert head.end("cu-1")["signal"] == 9
    signpost.wait_for_silence()


@pytest.mark.timeout(180)  # on a busy machine it hops for long
def test_kill_reaches_a_daemon_that_hops_from_process_to_process(head: Head, signpost: Signpost) -> None:
    hop = head.sandbox / "hop.sh"
    hop.write_text('[ $1 = 5 ] && echo ready >&3\n[ $1 = 9999 ] || setsid /bin/sh "$0" $(($1 + 1)) &\n')
    start_shell(head, "cu-1", f"exec 3> {signpost.path}; /bin/sh {hop} 0; sleep 1000")
    assert signpost.line() == "ready"
    head.send("signal", [["cu-1", signal.SIGKILL]])
    assert head.end("cu-1")["signal"] == 9
    signpost.wait_for_silence()


def test_kill_leaves_other_units_alone(head: Head, tmp_path: Path, signpost: Signpost) -> None:
    gate = Signpost(tmp_path / "gate")
    start_shell(head, "cu-1", DAEMON.format(signpost.path) + f" read line < {gate.path}")
    start_shell(head, "cu-2", "sleep 1000")
    assert signpost.line() == "ready"
    head.send("signal", [["cu-2", signal.SIGKILL], ["cu-gone", signal.SIGKILL]])
    assert head.end("cu-2")["signal"] == 9
    gate.write("go")
    assert head.end("cu-1")["code"] == 0


def test_several_signals_in_one_frame(head: Head) -> None:
    for number in range(4):
        start_shell(head, f"cu-{number}", "sleep 1000")
    head.send(
        "signal", [[f"cu-{number}", (signal.SIGTERM, signal.SIGKILL)[number % 2]] for number in range(4)]
    )
    assert [head.end(f"cu-{number}")["signal"] for number in range(4)] == [15, 9, 15, 9]


def test_signal_that_does_not_exist_is_passed_over(head: Head) -> None:
    start_shell(head, "cu-1", "sleep 1000")
    head.send("signal", [["cu-1", 999]])
    head.send("signal", [["cu-1", 15]])
    assert head.end("cu-1")["signal"] == 15


def test_what_a_unit_leaves_in_its_group_ends_with_it(head: Head, signpost: Signpost) -> None:
    end = head.shell("cu-1", f"(trap '' TERM HUP; exec sleep 1000) 3> {signpost.path} & :")
    assert end["code"] == 0
    signpost.wait_for_silence()


def test_daemon_that_a_unit_leaves_behind_is_ended(head: Head, signpost: Signpost) -> None:
    assert head.shell("cu-1", DAEMON.format(signpost.path) + f" read line < {signpost.path}")["code"] == 0
    signpost.wait_for_silence()


def test_daemon_is_ended_while_other_units_run(head: Head, signpost: Signpost) -> None:
    start_shell(head, "cu-long", "sleep 1000")
    head.shell("cu-1", DAEMON.format(signpost.path) + f" read line < {signpost.path}")
    signpost.wait_for_silence()
    assert "cu-long" not in head.ends


def test_daemon_without_a_marker_is_ended_when_the_executor_is_idle(head: Head, signpost: Signpost) -> None:
    script = f"env -i {DAEMON.format(signpost.path)} read line < {signpost.path}"
    assert head.shell("cu-1", script)["code"] == 0
    signpost.wait_for_silence()


def test_end_of_the_head_ends_everything(head: Head, signpost: Signpost) -> None:
    head.start(
        head.order("cu-1", ["/bin/sh", "-c", DAEMON.format(signpost.path) + " sleep 1000"], expand=False),
        head.order("cu-2", ["/bin/true"], cores=None, attempt=5),
    )
    head.wait_started("cu-1")
    assert signpost.line() == "ready"
    head.socket.close()
    signpost.wait_for_silence()
    assert head.wait_gone() == 0
    end = head.recovery().ended[("cu-1", 1)]
    assert (end["signal"], end["reason"]) == (9, "lost")
    assert ["U", "cu-2", 5] in head.records()


def test_stop_ends_everything_and_reports_it(head: Head, signpost: Signpost) -> None:
    head.start(
        head.order("cu-1", ["/bin/sh", "-c", DAEMON.format(signpost.path) + " sleep 1000"], expand=False),
        head.order("cu-2", ["/bin/true"], cores=None),
    )
    assert signpost.line() == "ready"
    head.send("stop")
    head.rest()
    assert head.wait_gone() == 0
    assert (head.ends["cu-1"]["reason"], head.retracted) == ("lost", ["cu-2"])
    assert head.ends["cu-1"]["message"] == "killed because its executor was stopped"
    signpost.wait_for_silence()


def test_signals_to_all_processes_of_a_job_do_not_end_an_executor(head: Head) -> None:
    for number in END_SIGNALS:
        os.kill(head.pid, number)
    assert head.run("cu-1", ["/bin/true"])["code"] == 0


@pytest.mark.parametrize("number", END_SIGNALS, ids=lambda number: number.name)
def test_units_can_be_ended_by_what_their_executor_ignores(head: Head, number: signal.Signals) -> None:
    head.start(head.order("cu-1", ["/bin/sleep", "1000"]))
    head.wait_started("cu-1")
    head.send("signal", [["cu-1", number]])
    assert head.end("cu-1")["signal"] == number


def test_stream_that_is_no_frames_ends_an_executor(head: Head, signpost: Signpost) -> None:
    start_shell(head, "cu-1", DAEMON.format(signpost.path) + " sleep 1000")
    assert signpost.line() == "ready"
    head.socket.sendall(b"\xff\xff\xff\xff")
    head.rest()
    assert head.wait_gone() == 0
    signpost.wait_for_silence()
    assert head.ends["cu-1"]["reason"] == "lost"


def test_slow_head_loses_no_report(head: Head) -> None:
    noise = ["/bin/sh", "-c", "head -c 4000 /dev/zero"]
    orders = [head.order(f"cu-{number}", noise, cores=None) for number in range(100)]
    orders[0]["cores"] = CORES[:1]
    gate = Signpost(head.sandbox / "gate")
    head.start(*orders, head.order("cu-last", ["/bin/sh", "-c", f"echo done > {gate.path}"], cores=None))
    # 4000 zeros are 24000 characters of JSON: far more than the socket holds while nobody reads.
    assert gate.line() == "done"
    head.end("cu-last")
    assert len(head.ends) == 101
    assert {end["out"] for unit, end in head.ends.items() if unit != "cu-last"} == {"\0" * 4000}
