"""A resource that is open: the place of its files, its queue, the watch of its jobs, and the tunnel of its agents."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from pilot_session.coordination_url import CoordinationUrl

from .job_watch import JobWatch
from .place import Place
from .queue import Queue
from .route import Route, check_straight, check_tunnel, local_target


class Tunnel(Protocol):
    """An open way from a place back to the Redis server."""

    @property
    def remote_socket(self) -> str:
        """The socket on the place that leads to the server."""

    def close(self) -> None:
        """Close the way."""


class Resource:
    """What this process has open at one ``service_url``.

    Args:
        service_url: Where it is.
        place: Where its files are put.
        queue: Takes its jobs.
        open_tunnel: Opens a tunnel from the place to an address on this machine; None where the place is this machine.
        lrms: Whether its agents look for a batch job around them: ``auto`` or ``local``, see the agent's settings.
        submit_host: The name of the place, for agents that open a tunnel to it; empty: what their batch system says.
    """

    def __init__(
        self,
        service_url: str,
        place: Place,
        queue: Queue,
        open_tunnel: Callable[[str], Tunnel] | None,
        *,
        submit_host: str = "",
        lrms: str = "auto",
    ) -> None:
        self.service_url = service_url
        self.place = place
        self.queue = queue
        self.lrms = lrms
        self.watch = JobWatch(queue, service_url)
        self._open_tunnel = open_tunnel
        self._submit_host = submit_host
        self._tunnel: Tunnel | None = None
        self._lock = threading.Lock()

    def route(self, redis: CoordinationUrl, *, tunnel: bool) -> Route:
        """Return the way of this resource's agents to the Redis server; the tunnel is opened when it is first needed.

        Raises:
            SubmissionError: There is none.
        """
        if not tunnel:
            check_straight(redis, self.service_url, is_remote=self._open_tunnel is not None)
            return Route()
        check_tunnel(redis)
        target = local_target(redis)
        if self._open_tunnel is None:
            return Route(self._submit_host, target)
        with self._lock:
            if self._tunnel is None:
                self._tunnel = self._open_tunnel(target)
            return Route(self._submit_host, self._tunnel.remote_socket)

    def close(self) -> None:
        """Close all of it. Jobs stay."""
        self.watch.stop()
        self.queue.close()  # which ends the question that the watch may wait for
        self.watch.close()
        if self._tunnel is not None:
            self._tunnel.close()
        self.place.close()
