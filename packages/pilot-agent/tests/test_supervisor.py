"""The supervisor with heads of a few lines: it runs as a process, since it is a subreaper and waits for any child."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pilot_agent.exit_codes import ENDED, PILOT_ENDED, REFUSED, RESTARTS_USED_UP
from pilot_agent.spawn.end_signals import END_SIGNALS
from pilot_agent.supervisor import MOST_RESTARTS

_SUPERVISE = """\
import sys
from pilot_agent.supervisor import Supervisor
lifeline = int(sys.argv[1])
sys.exit(Supervisor(sys.argv[2:], lifeline if lifeline >= 0 else None).run())
"""
_TOLD_AT_ITS_END = """\
import os, sys
from pilot_agent.spawn.end_signals import END_SIGNALS
from pilot_agent.supervisor import Supervisor
code = Supervisor(["/bin/true"]).run()
for number in END_SIGNALS:
    os.kill(os.getpid(), number)
sys.exit(code)
"""
_PATIENCE_S = 30.0


class Supervised:
    """A supervisor whose head is a shell script; what heads write to descriptor 1 comes back as lines."""

    def __init__(self, script: str, lifeline: int | None = None) -> None:
        fd = -1 if lifeline is None else lifeline
        head = ["/bin/sh", "-c", script]
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SUPERVISE, str(fd), *head],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[fd] if fd >= 0 else [],
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, Sequence[str]]:
        out, self.said = self.process.communicate(timeout=_PATIENCE_S)
        return self.process.returncode, out.splitlines()


@pytest.mark.parametrize("code", [ENDED, REFUSED, PILOT_ENDED])
def test_a_head_that_ends_for_good_is_not_started_again(code: int) -> None:
    assert Supervised(f"echo up; exit {code}").end() == (code, ["up"])


@pytest.mark.parametrize("death", ["exit 1", "kill -9 $$"])
def test_a_head_that_dies_is_started_again_so_many_times_and_no_more(death: str) -> None:
    supervised = Supervised(f"echo up; {death}")
    assert supervised.end() == (RESTARTS_USED_UP, ["up"] * (1 + MOST_RESTARTS))


def test_a_head_that_recovers_is_all_there_is(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    script = f"echo up; [ -e {flag} ] && exit 0; touch {flag}; exit 1"
    assert Supervised(script).end() == (ENDED, ["up", "up"])


def test_what_a_dead_head_leaves_is_gone_before_the_next_one_starts(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    # The second head looks for what the first one has left: a process of a session of its own, deaf to SIGTERM.
    script = (
        f"if [ -e {note} ]; then kill -0 $(cat {note}) 2> /dev/null && echo alive || echo gone; exit 0; fi; "
        f"setsid sh -c 'trap \"\" TERM; echo $$ > {note}; echo ready; while :; do sleep 60; done' > {tmp_path}/out & "
        f"until [ -s {tmp_path}/out ]; do :; done; kill -9 $$"
    )
    assert Supervised(script).end() == (ENDED, ["gone"])


def test_executors_have_the_time_to_write_down_how_their_units_ended(tmp_path: Path) -> None:
    note, fifo = tmp_path / "note", tmp_path / "fifo"
    # A child that ends by itself once its head is dead, after some work.
    script = (
        f"[ -e {note} ] && {{ cat {note}; exit 0; }}; mkfifo {fifo}; "
        f"(exec 3< {fifo}; cat <&3; sleep 0.3; echo written > {note}) > /dev/null 2>&1 & "
        f"exec 4> {fifo}; kill -9 $$"
    )
    assert Supervised(script).end() == (ENDED, ["written"])


def test_nothing_is_left_when_the_agent_ends(tmp_path: Path) -> None:
    supervised = Supervised("sleep 600 > /dev/null 2>&1 & echo $!; exit 0")
    pid = int(supervised.line())
    assert supervised.end()[0] == ENDED
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("number", END_SIGNALS, ids=lambda number: number.name)
def test_a_signal_to_end_reaches_the_head_as_sigterm(number: int) -> None:
    supervised = Supervised("trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.01; done")
    assert supervised.line() == "up"
    supervised.process.send_signal(number)
    assert supervised.end() == (ENDED, ["told"])


def test_a_head_that_dies_of_it_is_not_started_again() -> None:
    supervised = Supervised("echo up; exec sleep 600")
    assert supervised.line() == "up"
    supervised.process.terminate()
    assert supervised.end() == (128 + signal.SIGTERM, [])


def test_the_lifeline_reaches_the_head() -> None:
    read_end, write_end = os.pipe()
    supervised = Supervised(f"echo alive > /dev/fd/{write_end}; exit 0", write_end)
    os.close(write_end)
    assert supervised.end()[0] == ENDED
    with os.fdopen(read_end) as lifeline:
        assert lifeline.read() == "alive\n"


@pytest.fixture
def lifeline() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    os.close(ends[0])


def test_the_lifeline_ends_with_the_last_process(lifeline: tuple[int, int]) -> None:
    read_end, write_end = lifeline
    supervised = Supervised("echo up; exec sleep 600", write_end)
    os.close(write_end)
    assert supervised.line() == "up"
    assert select.select([read_end], [], [], 0)[0] == []
    supervised.process.terminate()
    supervised.end()
    assert os.read(read_end, 1) == b""


def test_a_signal_that_comes_when_the_head_has_ended_changes_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", _TOLD_AT_ITS_END], timeout=_PATIENCE_S, check=False)
    assert ended.returncode == ENDED
