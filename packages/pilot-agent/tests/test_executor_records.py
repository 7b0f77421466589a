"""Orders, the chain, reports and argv: the executor's parts that need no process."""

from __future__ import annotations

import errno
import json
import re
from typing import Any

import pytest

from pilot_agent.launch.single import unit_argv
from pilot_agent.node.chain import Chain
from pilot_agent.node.orders import OrderError, never_ran, parse_order
from pilot_agent.node.reports import FLUSH_DELAY_S, FLUSH_ENDS, Reports
from pilot_agent.node.starter import Launch, Place
from pilot_agent.spawn.failures import cannot

ORDER: dict[str, Any] = {"id": "cu-1", "attempt": 2, "exe": "/bin/true", "sandbox": "/box/cu-1"}
END = never_ran("start", "message", 5.0)


def launch(unit: str, width: int = 1) -> Launch:
    order = parse_order({**ORDER, "id": unit, "width": width})
    return Launch(order, {}, Place("", "", "", ""), [], mentions_cores=False)


MPI = {"ranks": [["n1", "0-1", "0,1"], ["n1", "2,4", ""], ["n2", "0", "GPU-1a:2"]], "pinned": True}


def test_an_order_names_its_ranks() -> None:
    mpi = parse_order({**ORDER, "mpi": {**MPI, "launcher": "srun", "srun_type": "pmix"}}).mpi
    assert mpi is not None
    assert (mpi.ranks[0], mpi.hosts) == (("n1", "0-1", "0,1"), ["n1", "n2"])
    assert (mpi.pinned, mpi.launcher, mpi.srun_type) == (True, "srun", "pmix")
    assert parse_order(ORDER).mpi is None


@pytest.mark.parametrize(
    ("mpi", "message"),
    [
        (7, "mpi of an order must be an object, got 7"),
        ({}, "needs at least one rank"),
        ({"ranks": [["n1", "0"]]}, "a rank is a list of host, cores and gpus"),
        ({"ranks": [["n1", 0, ""]]}, "a rank is a list of host, cores and gpus"),
        ({"ranks": [["", "0", ""]]}, "needs a host and numbers of cores"),
        ({"ranks": [["n1", "$(id)", ""]]}, "needs a host and numbers of cores"),
        ({"ranks": [["n1", "0", "$(id)"]]}, "names no GPUs"),
        ({**MPI, "pinned": 1}, "pinned of an order's mpi must be bool, got 1"),
        ({**MPI, "launcher": None}, "launcher of an order's mpi must be str"),
    ],
)
def test_ranks_that_cannot_be_understood_are_named(mpi: Any, message: str) -> None:
    with pytest.raises(OrderError, match=re.escape(message)):
        parse_order({**ORDER, "mpi": mpi})


def test_order_has_defaults_and_passes_over_unknown_keys() -> None:
    order = parse_order({**ORDER, "key_of_a_later_version": 1})
    assert (order.id, order.attempt, order.args, order.env, order.cores) == ("cu-1", 2, [], {}, None)
    assert (order.expand, order.pin, order.width) == (True, False, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"exe": None}, "exe of an order must be str, got None"),
        ({"exe": ""}, "needs an id, an executable"),
        ({"attempt": True}, "attempt of an order must be int, got True"),
        ({"args": "text"}, "args of an order must be list"),
        ({"args": [1]}, "must be texts, got 1"),
        ({"env": {"A": None}}, "must be texts, got None"),
        ({"expand": 1}, "expand of an order must be bool, got 1"),
        ({"width": 0}, "at least 1, got 0"),
        ({"cores": []}, r"list of core numbers or null, got \[\]"),
        ({"cores": ["0"]}, "list of core numbers or null"),
        ({"sandbox": "relative"}, "absolute path"),
    ],
)
def test_order_that_makes_no_sense_names_key_and_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OrderError, match=message) as caught:
        parse_order({**ORDER, **change})
    assert caught.value.unit == "cu-1"


def test_order_without_an_id_belongs_to_nobody() -> None:
    with pytest.raises(OrderError) as caught:
        parse_order({**ORDER, "id": 7})
    assert caught.value.unit == ""


def test_chain_is_first_in_first_out_for_each_width() -> None:
    chain = Chain()
    for unit, width in (("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 1)):
        chain.add(launch(unit, width))
    assert len(chain) == 5
    assert chain.take("c") == launch("c")
    assert chain.take("c") is None
    assert [chain.next(1), chain.next(2), chain.next(1), chain.next(1)] == [
        launch("a"),
        launch("b", 2),
        launch("e"),
        None,
    ]
    assert "d" in chain
    assert chain.take_all() == [launch("d", 2)]
    assert len(chain) == 0


def test_reports_are_due_at_once_when_nothing_is_chained() -> None:
    reports = Reports()
    assert reports.due_s(chained=0) is None
    reports.started(launch("a").order, 7, 1.5, 100.0)
    assert reports.due_s(chained=0) == 100.0
    assert reports.due_s(chained=3) == 100.0 + FLUSH_DELAY_S


def test_reports_are_due_at_once_when_there_are_many_ends() -> None:
    reports = Reports()
    for number in range(FLUSH_ENDS):
        assert reports.due_s(chained=1) in (None, 100.0 + FLUSH_DELAY_S)
        reports.ended(launch(f"cu-{number}").order, lambda: END, None, 100.0)
    assert reports.due_s(chained=1) == 100.0


def test_unit_that_started_and_ended_is_only_reported_as_ended() -> None:
    reports = Reports()
    first, second = launch("cu-1").order, launch("cu-2").order
    reports.started(first, 7, 1.5, 100.0)
    reports.started(second, 8, 1.6, 100.0)
    reports.ended(first, lambda: END, second, 100.0)
    reports.retracted([launch("cu-3").order], 100.0)
    lines, message = reports.take()
    assert [json.loads(line) for line in lines.splitlines()] == [["E", "cu-1", 2, END], ["U", "cu-3", 2]]
    assert lines.endswith("\n")
    assert json.loads(message) == [
        "events",
        {"started": [["cu-2", 2, 8, 1.6]], "ended": [["cu-1", 2, END, "cu-2"]], "retracted": ["cu-3"]},
    ]
    assert reports.due_s(chained=0) is None
    assert reports.take() == ("", '["events",{"started":[],"ended":[],"retracted":[]}]')


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.ENOSPC, "disk_full"), (errno.EDQUOT, "disk_full"), (errno.EACCES, "start")]
)
def test_full_disk_is_a_reason_of_its_own(code: int, reason: str) -> None:
    failure = cannot("folder '/x' cannot be made", OSError(code, "cause"))
    assert (failure.reason, str(failure)) == (reason, "folder '/x' cannot be made: cause")


def test_program_is_started_without_a_shell() -> None:
    assert unit_argv("/bin/prog", ["a b", "$X", ";"]) == ["/bin/prog", "a b", "$X", ";"]


def test_pre_exec_replaces_the_shell_by_the_program() -> None:
    argv = unit_argv("prog", ["a b"], ["module load x", "cd y"])
    assert argv == ["/bin/sh", "-c", 'set -e\nmodule load x\ncd y\nset +e\nexec "$@"', "sh", "prog", "a b"]


def test_post_exec_keeps_the_programs_exit_code() -> None:
    argv = unit_argv("prog", [], [], ["sync"])
    assert argv == ["/bin/sh", "-c", '"$@"\npilot_exit_code=$?\nsync\nexit "$pilot_exit_code"', "sh", "prog"]
