"""From a reaped process to the report of its unit's end: reason, output, where its files are."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from typing import NamedTuple

from pilot_agent.launch.rank_script import BEGUN
from pilot_agent.node.lanes import INLINE_BYTES, LanePool
from pilot_agent.node.mpi_units import RankFailure, read_failure
from pilot_agent.node.orders import EndRecord
from pilot_agent.node.starter import Running
from pilot_agent.spawn.end_signals import END_SIGNALS
from pilot_agent.spawn.reaper import Exit
from pilot_agent.spawn.sandbox import read_tail

_SIGNALED = 128
"""What a shell adds to the number of the signal that ended its program."""

_KILLED = (-signal.SIGKILL, _SIGNALED + signal.SIGKILL)
"""Exits of a program that was killed, and of a shell whose program was."""

_NO_RANK = "; the launcher failed before any rank had begun"

_MEANT_FOR_ALL = (signal.SIGKILL, *END_SIGNALS)
"""What an executor that stops, or the batch system that stops it, sends to all units."""


class Ended(NamedTuple):
    """A unit whose process was reaped."""

    unit: Running
    exit: Exit
    time: float

    @property
    def was_killed(self) -> bool:
        """Whether it was killed without having been told to end."""
        return self.exit.code == -signal.SIGKILL and not self.unit.signaled

    @property
    def never_began(self) -> bool:
        """Whether it is an MPI unit whose launcher failed by itself before any rank had begun."""
        unit, code = self.unit, self.exit.code
        if not unit.launch_folder or code == 0 or -code in _MEANT_FOR_ALL or unit.signaled:
            return False
        return not os.path.lexists(os.path.join(unit.launch_folder, BEGUN))


def end_unit(ended: Ended, lanes: LanePool, out_of_memory: Callable[[], bool], *, stopped: bool) -> EndRecord:
    """Return the report of a unit's end and give its lane, emptied, back to `lanes`.

    Args:
        ended: the unit.
        lanes: where its lane came from.
        out_of_memory: tells whether the kernel has killed something for want of memory since it was last asked.
        stopped: whether the executor was ending, be it that its head is gone, before it told of the unit.
    """
    unit, exit_, now_s = ended
    failure = read_failure(unit.launch_folder) if unit.launch_folder else None
    outcome = failure.code if failure else exit_.code
    code, signum = (outcome, None) if outcome >= 0 else (None, -outcome)
    end = EndRecord(
        code=code,
        signal=signum,
        reason="signal" if signum else "exit" if code else "",
        message=_of_rank(failure) if failure else _message(code, signum) + _NO_RANK * ended.never_began,
        t0=unit.started_s,
        t1=now_s,
        user=round(exit_.user_s, 6),
        system=round(exit_.system_s, 6),
        rss_kb=exit_.peak_memory_kb,
        cwd=unit.place.folder,
        out=None,
        err="",
        out_file=unit.place.stdout,
        err_file=unit.place.stderr,
    )
    if unit.order.deliver:
        end["deliver"] = unit.order.deliver
    if unit.lane:
        _empty_lane(unit, end, lanes)
    if unit.place.stderr and outcome != 0:
        end["err"] = _text(read_tail(unit.place.stderr, INLINE_BYTES))
    if stopped and -exit_.code in _MEANT_FOR_ALL:
        end["reason"], end["message"] = "lost", "killed because its executor was stopped"
    elif outcome in _KILLED and not unit.signaled and out_of_memory():
        end["reason"], end["message"] = "oom", "killed by the kernel, which had no memory left"
    return end


def _message(code: int | None, signum: int | None) -> str:
    if signum:
        return f"ended by signal {signum} ({_signal_name(signum)})"
    return f"exit code {code}" if code else ""


def _of_rank(failure: RankFailure) -> str:
    """Say how the rank ended that failed first; a shell tells the end by a signal in its exit code."""
    said = f"exit code {failure.code}"
    if failure.code > _SIGNALED:
        said += f", which means signal {failure.code - _SIGNALED} ({_signal_name(failure.code - _SIGNALED)})"
    return f"rank {failure.rank}: {'' if failure.what == 'exit' else f'{failure.what} failed, '}{said}"


def _signal_name(signum: int) -> str:
    try:
        return signal.Signals(signum).name
    except ValueError:
        return "real-time"


def _empty_lane(unit: Running, end: EndRecord, lanes: LanePool) -> None:
    """Put what the unit left in its lane into `end`; a lane that cannot be emptied is given up."""
    lane, place, folder = unit.lane, unit.place, unit.order.sandbox
    if lane is None:
        return
    try:
        if not place.folder:
            end["cwd"] = lane.keep_work(folder)
        out = lane.stdout.take(folder)
        err = lane.stderr.take(folder)
    except OSError as error:
        lane.close()
        end["message"] = "; ".join(filter(None, (end["message"], f"its output cannot be kept: {error}")))
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            end["reason"] = "disk_full"
        return
    lanes.give_back(lane)
    if not place.stdout:
        end["out"] = None if out.path else _text(out.tail)
        end["out_file"] = out.path
    if not place.stderr:
        end["err"] = _text(err.tail)
        end["err_file"] = err.path


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
