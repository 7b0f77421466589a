"""The executor process: one thread, one loop over the head's frames and the ends of units.

    python -m pilot_agent.node.executor '{"sandbox": "/…", "executor": 0, "journal": "/…", "fd": 5, "lifeline": 6}'

It imports the standard library only, and little of it, so that it starts in tens of milliseconds and stays small.
When the head closes the connection, it kills every unit, writes down how they ended, and exits. Signals do not end it: those
of a batch system or of a terminal go to all processes of the agent, and what they mean is the head's to decide. On a node
that is not the head's it begins in `far_executor`.
"""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any, Callable, NamedTuple

from pilot_agent.journal import JournalWriter
from pilot_agent.node.frames import PROTOCOL, FrameError, encode
from pilot_agent.node.lanes import LanePool
from pilot_agent.node.link import HeadLink
from pilot_agent.node.mpi_units import MpiUnits
from pilot_agent.node.orders import Order
from pilot_agent.node.reports import Reports
from pilot_agent.node.runner import UnitRunner
from pilot_agent.node.starter import Starter
from pilot_agent.node.surroundings import arrange_descriptors, say, unit_base_environment
from pilot_agent.spawn.end_signals import ignore_end_signals
from pilot_agent.spawn.prctl import become_subreaper

STOP_S = 0.8
"""How long a stopping executor waits for killed units to be gone, and again for the head to take the last report."""

HOLD_S = 0.5
"""How long a unit that was killed waits on another node than the head's until it counts as ended: the batch system may be killing
all that there is, this process next, since the head is gone, which is known here a moment later. Then the unit has not failed, and
none that is chained must follow it. What ended otherwise is told at once."""

_KILL_AGAIN_S = 0.1
"""How long a stopping executor sees nothing end before it looks again for something to kill."""

_COLLECT_AFTER = 200_000
"""Objects allocated and not freed between two runs of the garbage collector."""


class Options(NamedTuple):
    """What the head tells an executor when it starts it."""

    sandbox: str
    """The pilot's folder."""
    executor: int
    """Number of this executor."""
    journal: str
    """Folder of the journal."""
    fd: int = -1
    """Descriptor of the connection to the head, -1 on another node than the head's."""
    lifeline: int = -1
    """Descriptor to hold open as long as this process lives, -1 for none."""
    guard: int = -1
    """Descriptor whose end means that nobody looks after this process any more; -1: the head does."""


class Executor:
    """Loop of one executor.

    Args:
        options: What the head told.
        link: The connection to it.
        environment: What every unit's environment is built on.
    """

    def __init__(self, options: Options, link: HeadLink, environment: Mapping[str, str]) -> None:
        self._name = f"executor-{options.executor}"
        self._link = link
        self._guard = options.guard
        self._hold_s = HOLD_S if options.guard >= 0 else 0.0
        self._reports = Reports()
        self._journal = JournalWriter(options.journal, self._name)
        lanes = LanePool(os.path.join(options.sandbox, "lanes"), options.executor)
        self._mpi = MpiUnits(options.sandbox)
        starter = Starter(options.sandbox, lanes, environment)
        self._units = UnitRunner(starter, lanes, self._reports, self._mpi, self._log, self._note_begun)
        self._verbs: dict[str, Callable[[Any], None]] = {
            "start": self._units.start,
            "place": self._units.place,
            "signal": self._units.signal,
            "retract": self._units.retract,
            "sweep": self._mpi.sweep,
        }
        self._open = True
        self._was_told = False
        self._blocked = False
        self._poll = select.poll()
        self._wakeup = _signal_pipe()

    def run(self) -> bool:
        """Serve the head until it says stop or is gone; return whether it said so."""
        self._poll.register(self._wakeup, select.POLLIN)
        self._poll.register(self._link.fd, select.POLLIN)
        if self._guard >= 0:
            self._poll.register(self._guard, select.POLLIN)
        wait_ms: int | None = None
        while self._open:
            ready = [fd for fd, _ in self._poll.poll(wait_ms)]
            if self._wakeup in ready:
                self._reap()
            if self._link.fd in ready:
                self._obey()
            if self._guard in ready:
                self._open = False
            if self._open:
                wait_ms = self._serve_due(time.monotonic())
        self._shut_down()
        return self._was_told

    def _serve_due(self, now_s: float) -> int | None:
        """Do what is due; return the milliseconds until the next thing is, rounded up, None for never."""
        self._units.release(now_s - self._hold_s)
        held_s = self._units.held_since_s
        release_s = None if held_s is None else held_s + self._hold_s
        check_s = self._units.check_due_s
        if check_s is not None and check_s <= now_s:
            self._units.end_strays()
            check_s = None
        mpi_s = self._mpi.due_s
        if mpi_s is not None and mpi_s <= now_s:
            self._look_after_mpi(now_s)
            mpi_s = self._mpi.due_s
        report_s = self._reports.due_s(self._units.chained)
        if report_s is not None and report_s <= now_s:
            self._report()
            report_s = None
        times = (release_s, check_s, mpi_s, report_s)
        due_s = min((time_s for time_s in times if time_s is not None), default=None)
        return None if due_s is None else int((due_s - now_s) * 1000) + 1

    def _look_after_mpi(self, now_s: float) -> None:
        self._units.end_failed(now_s)
        if swept := self._mpi.swept(now_s):
            self._link.send(encode(["swept", swept]))
            self._watch_link()

    def _reap(self) -> None:
        os.read(self._wakeup, 4096)
        self._units.reap()

    def _obey(self) -> None:
        self._link.flush()
        self._watch_link()
        try:
            frames = self._link.receive()
        except FrameError as error:
            self._log(f"connection given up: {error}")
            frames = None
        if frames is None:
            self._open = False
            return
        for frame in frames:
            self._dispatch(frame)

    def _dispatch(self, frame: object) -> None:
        if frame == ["stop"]:
            self._open, self._was_told = False, True
            return
        try:
            verb, argument = _verb_and_argument(frame)
            self._verbs[verb](argument)
        except (KeyError, TypeError, ValueError) as error:
            self._log(f"frame not understood: {error!r} in {frame!r:.200}")

    def _report(self) -> None:
        """Write the journal, then tell the head."""
        self._units.look_for_orphans()
        if self._link.is_cut:
            self._units.stopping = True
        lines, message = self._reports.take()
        self._write_down(lines)
        self._link.send(message)
        self._watch_link()

    def _note_begun(self, order: Order) -> None:
        """Write down at once what starts: if it ends this process, it must not start again as if it never had."""
        self._write_down(f'["B",{encode(order.id)},{order.attempt}]\n')

    def _write_down(self, lines: str) -> None:
        try:
            self._journal.append_lines(lines)
            if self._journal.full:
                self._journal.rotate()
        except OSError as error:
            # The head still hears of it; it is lost only if this process or the head dies before that.
            self._log(f"journal not written: {error}")

    def _watch_link(self) -> None:
        """Wake when the head can take more, but only while something waits for that."""
        blocked = self._link.unsent > 0
        if blocked != self._blocked:
            self._blocked = blocked
            self._poll.modify(self._link.fd, select.POLLIN | (select.POLLOUT if blocked else 0))

    def _shut_down(self) -> None:
        self._units.kill_all()
        wakeup = select.poll()
        wakeup.register(self._wakeup, select.POLLIN)
        deadline_s = time.monotonic() + STOP_S
        self._units.reap()
        while self._units.children_left and (left_s := deadline_s - time.monotonic()) > 0:
            if wakeup.poll(min(left_s, _KILL_AGAIN_S) * 1000):
                self._reap()
            else:
                self._units.kill_all()
        self._report()
        self._link.drain(STOP_S)

    def _log(self, message: str) -> None:
        say(f"{self._name}: {message}")


def _verb_and_argument(frame: object) -> tuple[str, Any]:
    if not isinstance(frame, list) or len(frame) != 2:
        raise ValueError("a frame is a list of a verb and its argument")
    return frame[0], frame[1]


def _signal_pipe() -> int:
    """Let signals end the loop's wait; return the descriptor that becomes readable when one came."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    os.set_blocking(write_end, False)
    signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _note_only)
    ignore_end_signals()
    return read_end


def _note_only(_signum: int, _frame: FrameType | None) -> None:
    """Exist, since a signal without a handler does not reach the wake-up descriptor."""


def main() -> None:
    """Run as a process, with the options as JSON in the only argument."""
    options = Options(**json.loads(sys.argv[1]))
    arrange_descriptors()
    link = HeadLink(options.fd)
    executor = Executor(options, link, unit_base_environment(os.environ))
    link.send(encode(["hello", {"pid": os.getpid(), "protocol": PROTOCOL}]))
    serve(executor)


def serve(executor: Executor) -> bool:
    """Be an executor until it is over; return whether the head said that it is."""
    try:
        become_subreaper()
    except OSError as error:
        say(f"what units leave behind as daemons can escape: {error}")
    # Nothing this loop makes refers back to itself; the collector would walk all waiting orders for no gain.
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
    return executor.run()


if __name__ == "__main__":
    main()
