"""A pilot's instance at EC2, from the moment it costs money to the moment it is terminated.

One thread brings it up: it runs, lets SSH in, gets the agent. Another one sees it off after a cancel. The invariant:
whichever way a pilot ends, or fails to begin, its instance is terminated; when EC2 does not do that, an error names it.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from pilot.submission.base import AgentEnd, Notify, PilotOrder, Placeholder
from pilot.submission.place import Place
from pilot_protocol.errors import SubmissionError

from .instances import Ec2Instances, Instance

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 15.0

SubmitAt = Callable[[PilotOrder, Notify, Place], Placeholder]
"""Starts a pilot's agent at a place."""


@dataclass(frozen=True)
class BringUp:
    """How an instance becomes a pilot.

    Attributes:
        open_place: Makes a place of an address.
        submit_at: Starts the agent there.
        user: Who logs in, for messages.
        ssh_limit_s: How long SSH may take to answer once the instance runs.
    """

    open_place: Callable[[str], Place]
    submit_at: SubmitAt
    user: str
    ssh_limit_s: float


class RentedInstance:
    """An instance that costs money until it is ended.

    Args:
        instances: Where it lives.
        instance: Its id.
    """

    def __init__(self, instances: Ec2Instances, instance: str) -> None:
        self.id = instance
        self._instances = instances
        self._ending = threading.Lock()
        self._ended = False

    def await_running(self) -> Instance:
        """Return the instance when it can be reached.

        Raises:
            SubmissionError: It does not come up.
        """
        return self._instances.await_running(self.id)

    def end(self) -> str:
        """Have it terminated, unless that was done; returns what went wrong, which is also logged."""
        with self._ending:
            if self._ended:
                return ""
            try:
                self._instances.terminate(self.id)
            except SubmissionError as error:
                trouble = (
                    f"{error}; terminate it yourself: aws ec2 terminate-instances --region "
                    f"{self._instances.region} --instance-ids {self.id}"
                )
                logger.error("%s", trouble, extra={"action": "ec2.left"})
                return trouble
            self._ended = True
            return ""

    def await_end(self) -> None:
        """Return when nothing runs on it any more, or when that can no longer be waited for."""
        try:
            self._instances.await_terminated(self.id)
        except SubmissionError as error:
            logger.error("%s; look whether it has ended", error, extra={"action": "ec2.lingers"})


class Ec2Placeholder:
    """A pilot on an instance.

    Args:
        order: The pilot's.
        rented: Its instance, just started.
        bring_up: How it becomes a pilot.
        notify: Told once when the agent's processes are gone, or can never be.
    """

    def __init__(self, order: PilotOrder, rented: RentedInstance, bring_up: BringUp, notify: Notify) -> None:
        self.job = rented.id
        self._order = order
        self._rented = rented
        self._bring_up = bring_up
        self._notify = notify
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._place: Place | None = None
        self._job: Placeholder | None = None
        self._may_hold_agent = False
        self._told = False
        self._killed = threading.Event()
        self._woken = threading.Event()
        self._gone = threading.Event()

    @property
    def handle(self) -> str:
        """The instance's id."""
        return self.job

    @property
    def news(self) -> str:
        """What is said of the agent's process; mostly empty."""
        return "" if self._job is None else self._job.news

    @property
    def cores(self) -> int | None:
        """Cores that were asked for; None while only the instance knows."""
        asked, job = self._order.spec.cores, self._job
        return asked if asked is not None or job is None else job.cores

    def begin(self) -> None:
        """Bring the instance up, in threads."""
        atexit.register(self._abandon)
        for what, run in (("start", self._run_bring_up), ("end", self._see_off)):
            name = f"pilot-ec2-{what} {self._order.pilot}"
            threading.Thread(target=run, name=name, daemon=True).start()

    def kill(self) -> None:
        """Terminate the instance; returns when EC2 has agreed to. An instance that could not be is tried again."""
        with self._lock:  # from now on no agent is started
            self._killed.set()
        self._rented.end()
        self._woken.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until the agent is gone, the instance ended or ending, and that was told; returns whether that is so."""
        return self._gone.wait(timeout_s)

    def _run_bring_up(self) -> None:
        try:
            self._start_agent()
        except SubmissionError as error:
            self._fail(str(error))
        except Exception as error:  # the thread's boundary: whatever it is, the instance must end
            logger.exception("pilot %s", self._order.pilot, extra={"action": "ec2.failed"})
            self._fail(f"{type(error).__name__}: {error}")
        finally:
            atexit.unregister(self._abandon)
            if self._told:  # by a cancel, which may have found no place to close
                self._close_place()

    def _start_agent(self) -> None:
        instance = self._rented.await_running()
        self._place = self._bring_up.open_place(instance.address)
        await_ssh(self._place, instance, self._bring_up, self._killed)
        with self._lock:
            if self._killed.is_set():
                return
            self._may_hold_agent = True
        job = self._bring_up.submit_at(self._order, self._job_ended, self._place)
        with self._lock:
            self._job = job
            if self._killed.is_set():
                self._woken.set()  # the cancel did not know of the job

    def _fail(self, reason: str) -> None:
        """End what could not begin; after a cancel that is the other thread's business."""
        if self._killed.is_set():
            return
        trouble = self._rented.end()
        if self._may_hold_agent and not trouble:
            self._rented.await_end()
        self._tell(AgentEnd(self._order.pilot, 1, _joined(reason, trouble)))

    def _job_ended(self, end: AgentEnd) -> None:
        trouble = self._rented.end()
        self._tell(replace(end, log=_joined(end.log, trouble)))

    def _see_off(self) -> None:
        while not self._gone.is_set():
            self._woken.wait()
            self._woken.clear()
            if not self._gone.is_set():
                self._finish_kill()

    def _finish_kill(self) -> None:
        """Tell of a cancelled pilot's end when its agent is surely gone, with its instance or without."""
        trouble = self._rented.end()
        self._kill_job()  # it may tell of its end sooner than EC2 does, and nobody asks for it any more
        if self._may_hold_agent and trouble:
            return  # its own end is told when it comes; else the pilot ends with its lease
        if self._may_hold_agent:
            self._close_place()  # before there is no machine any more to take leave of
            self._rented.await_end()
        self._tell(AgentEnd(self._order.pilot, -9, trouble))

    def _kill_job(self) -> None:
        if self._job is None:
            return
        try:
            self._job.kill()
        except SubmissionError as error:
            logger.info("pilot %s: %s", self._order.pilot, error, extra={"action": "ec2.job_left"})

    def _tell(self, end: AgentEnd) -> None:
        with self._lock:
            if self._told:
                return
            self._told = True
        try:
            self._close_place()
        finally:
            try:
                self._notify(end)
            finally:
                self._gone.set()
                self._woken.set()

    def _close_place(self) -> None:
        if self._place is not None:
            self._place.close()

    def _abandon(self) -> None:
        """End an instance without an agent when this process ends: nobody would start one any more."""
        with self._lock:
            abandoned = self._job is None and self._process == os.getpid()
            if abandoned:
                self._killed.set()
        if abandoned:
            self._rented.end()


def await_ssh(place: Place, instance: Instance, bring_up: BringUp, canceled: threading.Event) -> None:
    """Return when an instance lets us in, or when that is no longer wanted.

    Raises:
        SubmissionError: It does not answer in time, or does not let us in.
    """
    deadline = time.monotonic() + bring_up.ssh_limit_s
    pause = FIRST_PAUSE_S
    while True:
        trouble = _try_ssh(place, instance, bring_up.user)
        if trouble is None:
            return
        if time.monotonic() + pause > deadline:
            raise SubmissionError(_unreachable(instance, bring_up, trouble)) from trouble
        if canceled.wait(pause):
            return
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _try_ssh(place: Place, instance: Instance, user: str) -> SubmissionError | None:
    """Log in once; returns a trouble that may pass.

    Raises:
        SubmissionError: It will not pass.
    """
    advice = "is vm_ssh_username the user of this image, and vm_ssh_keyfile the other half of vm_ssh_keyname?"
    try:
        answer = place.run("true")
    except SubmissionError as error:
        if error.transient:
            return error
        raise SubmissionError(f"instance {instance.id} does not let {user} in: {error}; {advice}") from error
    if answer.code == 0:
        return None
    said = (answer.err.strip() or answer.text.strip())[-500:]
    raise SubmissionError(
        f"instance {instance.id} lets {user} in but runs nothing, exit code {answer.code}: {said}; {advice}"
    )


def _unreachable(instance: Instance, bring_up: BringUp, trouble: SubmissionError) -> str:
    groups = ", ".join(instance.groups) or "the default one"
    inside = "" if instance.is_public else "; the address can be reached inside of its network only"
    return (
        f"instance {instance.id} runs, but SSH does not answer at {instance.address} within {bring_up.ssh_limit_s:g} "
        f"s: {trouble}; its security group ({groups}) must let this machine in at port 22{inside}"
    )


def _joined(*parts: str) -> str:
    return "\n".join(part for part in parts if part)
