"""The ways of submission that a session has open: one resource per ``service_url``, kept until the session is closed.

What a scheme needs is imported when it is first used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from pilot_protocol.specs import PilotSpec
from pilot_session.coordination_url import CoordinationUrl

from .base import Submitter, scheme_of
from .fork import ForkSubmitter


def _open_fork(_spec: PilotSpec, _redis: CoordinationUrl) -> Submitter:
    return ForkSubmitter()


def _open_batch(spec: PilotSpec, redis: CoordinationUrl) -> Submitter:
    from .systems import open_submitter

    return open_submitter(spec.service_url, redis)


def _open_cloud(spec: PilotSpec, redis: CoordinationUrl) -> Submitter:
    from .systems import open_cloud

    return open_cloud(spec.service_url, redis)


_OPENERS: Mapping[str, Callable[[PilotSpec, CoordinationUrl], Submitter]] = {
    "fork": _open_fork,
    "ec2+ssh": _open_cloud,
}


class Ways:
    """Opens ways of submission, and closes them.

    Args:
        redis: The session's server, as this machine reaches it.
    """

    def __init__(self, redis: CoordinationUrl) -> None:
        self._redis = redis
        self._open: dict[str, Submitter] = {}
        self._lock = threading.Lock()

    def submitter_for(self, spec: PilotSpec) -> Submitter:
        """Return the way of submission for a pilot.

        Raises:
            SubmissionError: Its resource cannot be reached.
            MissingExtraError: It needs something that is not installed.
        """
        with self._lock:
            known = self._open.get(spec.service_url)
            if known is None:
                opener = _OPENERS.get(scheme_of(spec.service_url), _open_batch)
                known = self._open[spec.service_url] = opener(spec, self._redis)
            return known

    def close(self) -> None:
        """Close what is open; jobs stay."""
        with self._lock:
            for submitter in self._open.values():
                submitter.close()
            self._open.clear()
