"""A pilot's instance that another process rented: all that can be done for it from here is to terminate it."""

from __future__ import annotations

import logging
import threading

from pilot.submission.base import AgentEnd, Notify
from pilot_protocol.errors import SubmissionError

from .instances import Ec2Instances

logger = logging.getLogger(__name__)


class FoundInstance:
    """An instance that was found again.

    Args:
        pilot: Whose it is.
        instance: Its id.
        instances: Where it lives.
        notify: Told when it has been terminated from here.
    """

    cores = None
    news = ""

    def __init__(self, pilot: str, instance: str, instances: Ec2Instances, notify: Notify) -> None:
        self.job = instance
        self._pilot = pilot
        self._instances = instances
        self._notify = notify
        self._gone = threading.Event()

    @property
    def handle(self) -> str:
        """The instance's id."""
        return self.job

    def kill(self) -> None:
        """Terminate the instance, and return when nothing runs on it any more.

        Raises:
            SubmissionError: EC2 does not terminate it.
        """
        self._instances.terminate(self.job)
        try:
            self._instances.await_terminated(self.job)
        except SubmissionError as error:
            logger.error("%s; look whether it has ended", error, extra={"action": "ec2.lingers"})
            return
        if not self._gone.is_set():
            self._gone.set()
            self._notify(AgentEnd(self._pilot, None, "", "its instance was terminated"))

    def wait(self, timeout_s: float) -> bool:
        """Return whether it was terminated from here, and that was told."""
        return self._gone.wait(timeout_s)
