"""This machine as a place."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from pilot.submission.local_place import LocalPlace
from pilot_protocol.errors import SubmissionError

LIMIT_S = 20.0


@pytest.fixture
def place() -> LocalPlace:
    return LocalPlace()


def test_a_command_leaves_output_errors_and_exit_code(place: LocalPlace) -> None:
    done = place.run("echo out; echo err >&2; exit 3")
    assert (done.code, done.text, done.err) == (3, "out\n", "err\n")


def test_a_signal_is_a_negative_exit_code(place: LocalPlace) -> None:
    assert place.run("kill -TERM $$").code == -15


def test_large_and_binary_input_and_output_arrive_as_they_are(place: LocalPlace) -> None:
    given = os.urandom(5_000_000)
    assert place.run("cat", given=given).out == given


def test_input_that_nobody_reads_is_no_trouble(place: LocalPlace) -> None:
    assert place.run("echo done", given=b"x" * 5_000_000).text == "done\n"


def test_a_command_without_input_reads_its_end(place: LocalPlace) -> None:
    assert place.run("cat; echo end").text == "end\n"


def test_a_command_over_its_limit_is_killed_with_what_it_started(place: LocalPlace, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with pytest.raises(SubmissionError, match="a command on this machine took longer than 1 s") as caught:
        place.run(f"sleep 600 3<>{gate} & sleep 600", limit_s=1)
    assert caught.value.transient
    deadline = time.monotonic() + LIMIT_S
    while is_held(gate):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_held(gate: Path) -> bool:
    """Return whether a process reads a named pipe."""
    try:
        os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_a_process_that_has_left_the_group_does_not_hold_the_limit_up(
    place: LocalPlace, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(SubmissionError, match="took longer"):
        place.run(f"setsid sh -c 'echo $$ >{pid_file}; exec sleep 600' & sleep 600", limit_s=1)
    os.kill(int(pid_file.read_text()), 9)


def test_what_stays_in_the_background_is_not_waited_for(place: LocalPlace) -> None:
    done = place.run("setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $!")
    os.kill(int(done.text), 9)


def test_long_commands_are_shown_by_their_beginning(place: LocalPlace) -> None:
    with pytest.raises(SubmissionError) as caught:
        place.run("sleep 600 #" + "x" * 1000, limit_s=0.1)
    assert len(str(caught.value)) < 300


def test_a_command_that_no_program_can_be_given_is_refused(place: LocalPlace) -> None:
    with pytest.raises(SubmissionError, match="a command cannot be run on this machine"):
        place.run("echo \0")


def test_nothing_is_left_open(place: LocalPlace) -> None:
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(5):
        place.run("true", given=b"x")
    place.close()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


def test_it_is_called_by_its_name(place: LocalPlace) -> None:
    assert place.name == "this machine"
