"""A real executor: starting, chaining, placing, retracting, pinning."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import pilot_agent
from executor_driver import CORES, Head, Signpost

ALLOWED = "grep Cpus_allowed_list /proc/self/status | cut -f 2"
two_cores = pytest.mark.skipif(len(CORES) < 2, reason="pinning needs two cores to choose from")


def test_says_hello_with_its_pid_and_protocol(head: Head) -> None:
    assert head.hello == ["hello", {"pid": head.pid, "protocol": 1}]


def test_reports_start_and_end_of_a_unit(head: Head, signpost: Signpost) -> None:
    head.start(head.order("cu-1", ["/bin/sh", "-c", f"read line < {signpost.path}; cat /proc/self/stat"]))
    pid = head.wait_started("cu-1")
    signpost.write("go")
    end = head.end("cu-1")
    assert int(end["out"].split()[3]) == pid, "the parent of cat"
    assert (end["code"], end["signal"], end["reason"], end["message"]) == (0, None, "", "")
    assert end["t0"] <= end["t1"]


def test_exit_code_is_a_failure_with_its_number(head: Head) -> None:
    end = head.shell("cu-1", "exit 3")
    assert (end["code"], end["signal"], end["reason"], end["message"]) == (3, None, "exit", "exit code 3")


def test_death_by_signal_names_the_signal(head: Head) -> None:
    end = head.shell("cu-1", "kill -SEGV $$")
    assert (end["code"], end["signal"], end["reason"]) == (None, 11, "signal")
    assert end["message"] == "ended by signal 11 (SIGSEGV)"


def test_measures_what_a_unit_used(head: Head) -> None:
    end = head.run("cu-1", ["/bin/sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"])
    assert end["user"] + end["system"] > 0
    assert end["rss_kb"] > 0


def test_unit_sees_its_environment_and_not_the_agents_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PILOT_SECRET_SETTING", "x")
    monkeypatch.setenv("INHERITED", "yes")
    with closing(Head(tmp_path)) as head:
        end = head.run(
            "cu-1", ["/usr/bin/env"], env={"GREETING": "hello $INHERITED $PILOT_UNIT_ID"}, attempt=2
        )
    environment = dict(line.split("=", 1) for line in end["out"].splitlines())
    assert environment["GREETING"] == "hello yes cu-1"
    assert environment["PILOT_UNIT_ID"] == "cu-1"
    assert environment["PILOT_UNIT_ATTEMPT"] == "2"
    assert environment["PILOT_UNIT_CORES"] == str(CORES[0])
    assert "PILOT_SECRET_SETTING" not in environment


def test_arguments_are_expanded_or_left_as_they_are(head: Head) -> None:
    argv = ["/bin/echo", "$NAME", "${NAME}s", "$$", "$UNSET", "a b;*"]
    assert head.run("cu-1", argv, env={"NAME": "value"})["out"] == "value values $ $UNSET a b;*\n"
    plain = head.run("cu-2", argv, env={"NAME": "value"}, expand=False)
    assert plain["out"] == "$NAME ${NAME}s $$ $UNSET a b;*\n"


def test_signals_and_descriptors_are_as_a_program_expects(head: Head) -> None:
    status = head.run("cu-1", ["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])["out"]
    # Up to 31: the C library keeps some of the others for itself.
    assert {int(line.split()[1], 16) & 0x7FFFFFFF for line in status.splitlines()} == {0}
    descriptors = head.run("cu-2", ["/bin/ls", "/proc/self/fd"])["out"].split()
    assert descriptors == ["0", "1", "2", "3"], "3 is the folder that ls reads"


def test_unit_leads_its_own_process_group(head: Head) -> None:
    end = head.shell("cu-1", "cut -d ' ' -f 1,5 /proc/$$/stat; :")
    pid, group = end["out"].split()
    assert pid == group


def test_pre_exec_and_post_exec_surround_the_program(head: Head) -> None:
    end = head.run(
        "cu-1",
        ["/bin/sh", "-c", "echo run $X; exit 4"],
        pre=["export X=set", "echo before"],
        post=["echo after"],
    )
    assert (end["code"], end["out"]) == (4, "before\nrun set\nafter\n")


def test_failing_pre_exec_line_ends_the_unit_with_its_code(head: Head) -> None:
    end = head.run("cu-1", ["/bin/echo", "never"], pre=["(exit 7)", "echo neither"])
    assert (end["code"], end["out"]) == (7, "")


@two_cores
def test_pinned_unit_may_run_on_its_cores_only(head: Head) -> None:
    assert head.shell("cu-1", ALLOWED, cores=CORES[1:2], pin=True)["out"].strip() == str(CORES[1])
    assert head.shell("cu-2", ALLOWED, cores=CORES[:1], pin=True)["out"].strip() == str(CORES[0])


@two_cores
def test_unit_that_is_not_pinned_may_run_everywhere(head: Head) -> None:
    everywhere = head.shell("cu-0", ALLOWED)["out"]
    head.shell("cu-1", ALLOWED, cores=CORES[:1], pin=True)
    assert head.shell("cu-2", ALLOWED, cores=CORES[:1])["out"] == everywhere
    assert head.shell("cu-3", ALLOWED, cores=CORES, width=len(CORES), pin=True)["out"] == everywhere


def test_pinning_to_a_core_that_is_not_there_says_so(head: Head) -> None:
    end = head.run("cu-1", ["/bin/true"], cores=[4000], pin=True)
    if len(CORES) > 1:
        assert end["reason"] == "start"
        assert "cannot pin to the cores [4000]" in end["message"]


@two_cores
def test_chained_order_starts_on_the_cores_of_the_unit_before_it(head: Head, signpost: Signpost) -> None:
    script = f"read line < {signpost.path}; {ALLOWED}; echo $PILOT_UNIT_CORES"
    first = head.order("cu-1", ["/bin/sh", "-c", script], cores=CORES[1:2], pin=True)
    second = head.order("cu-2", ["/bin/sh", "-c", ALLOWED + "; echo $0"], cores=None, pin=True)
    second["args"].append("$PILOT_UNIT_CORES")
    head.start(first, second)
    head.wait_started("cu-1")
    signpost.write("go")
    assert head.end("cu-1")["out"].split() == [str(CORES[1])] * 2
    assert head.successors["cu-1"] == "cu-2"
    assert head.end("cu-2")["out"].split() == [str(CORES[1])] * 2


def test_chained_orders_run_in_their_order(head: Head) -> None:
    names = [f"cu-{number}" for number in range(20)]
    orders = [head.order(name, ["/bin/true"], cores=None) for name in names]
    orders[0]["cores"] = CORES[:1]
    head.start(*orders)
    head.end(names[-1])
    assert list(head.ends) == names
    assert [head.successors[name] for name in names] == [*names[1:], None]


def test_nothing_starts_on_the_cores_of_a_unit_that_is_alone_there(head: Head) -> None:
    first = head.order("cu-1", ["/bin/true"], cores=CORES[:1], alone=True)
    head.start(first, head.order("cu-2", ["/bin/true"], cores=None))
    assert head.end("cu-1")["code"] == 0
    assert head.successors["cu-1"] is None
    head.send("place", [["cu-2", CORES[:1]]])
    assert head.end("cu-2")["code"] == 0


def test_chained_order_waits_for_a_unit_of_its_own_width(head: Head) -> None:
    head.start(head.order("cu-1", ["/bin/true"]), head.order("cu-2", ["/bin/true"], cores=None, width=2))
    head.end("cu-1")
    assert head.successors["cu-1"] is None
    head.send("place", [["cu-2", [0, 1]]])
    assert head.end("cu-2")["code"] == 0


def test_placed_order_starts_beside_the_unit_it_was_chained_behind(head: Head, signpost: Signpost) -> None:
    head.start(
        head.order("cu-1", ["/bin/sh", "-c", f"read line < {signpost.path}"]),
        head.order(
            "cu-2", ["/bin/sh", "-c", "echo $PILOT_UNIT_CORES"], cores=None, env={"C": "$PILOT_UNIT_CORES"}
        ),
    )
    head.wait_started("cu-1")
    head.send("place", [["cu-2", [5]]])
    assert head.end("cu-2")["out"] == "5\n"
    signpost.write("go")
    head.end("cu-1")
    assert head.successors["cu-1"] is None


def test_place_that_comes_too_late_is_ignored(head: Head) -> None:
    head.start(head.order("cu-1", ["/bin/true"]), head.order("cu-2", ["/bin/true"], cores=None))
    head.end("cu-2")
    head.send("place", [["cu-2", [0]], ["cu-unknown", [0]]])
    assert head.run("cu-3", ["/bin/true"])["code"] == 0
    assert sorted(head.ends) == ["cu-1", "cu-2", "cu-3"]


def test_retracted_orders_do_not_start(head: Head, signpost: Signpost) -> None:
    head.start(
        head.order("cu-1", ["/bin/sh", "-c", f"read line < {signpost.path}"]),
        *(head.order(f"cu-{number}", ["/bin/true"], cores=None) for number in (2, 3, 4)),
    )
    head.wait_started("cu-1")
    head.send("retract", ["cu-2", "cu-4", "cu-1", "cu-unknown"])
    while not head.retracted:
        head.next_events()
    assert head.retracted == ["cu-2", "cu-4"]
    signpost.write("go")
    assert head.end("cu-3")["code"] == 0
    assert head.successors == {"cu-1": "cu-3", "cu-3": None}


def test_orders_that_cannot_start_hand_their_cores_on(head: Head) -> None:
    orders = [head.order(f"cu-{number}", ["/no/such"], cores=None) for number in range(2000)]
    orders[0]["cores"] = CORES[:1]
    head.start(*orders, head.order("cu-last", ["/bin/true"], cores=None))
    assert head.end("cu-last")["code"] == 0
    assert head.successors["cu-0"] == "cu-1"
    assert head.successors["cu-1999"] == "cu-last"
    assert {end["reason"] for unit, end in head.ends.items() if unit != "cu-last"} == {"start"}


def test_ends_are_in_the_journal_before_they_are_told(head: Head) -> None:
    end = head.shell("cu-1", "echo hello; exit 1", attempt=3)
    assert head.recovery().ended == {("cu-1", 3): end}


def test_executor_imports_little() -> None:
    source = Path(pilot_agent.__file__).parent.parent
    code = f"import sys; sys.path.insert(0, {str(source)!r}); import pilot_agent.node.executor; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], check=True, capture_output=True, text=True
    )
    forbidden = {
        "asyncio",
        "ctypes",
        "dataclasses",
        "inspect",
        "logging",
        "pilot_protocol",
        "socket",
        "subprocess",
    }
    assert forbidden.isdisjoint(output.stdout.split())


def test_a_chained_unit_is_written_down_before_it_starts(head: Head) -> None:
    head.start(
        head.order("cu-1", ["/bin/true"]),
        head.order("cu-2", ["/bin/sh", "-c", f"grep -h cu-2 {head.journal}/*"], cores=None, attempt=3),
    )
    assert head.end("cu-2")["out"] == '["B","cu-2",3]\n'
