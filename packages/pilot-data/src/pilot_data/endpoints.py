"""How many replicas are on their way at each endpoint at once, and how fast: limits that a process keeps to as a whole."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .job import Bandwidth, Pace
from .locations import Location
from .storage import Access

AT_ONCE = 4
"""How many replicas may be on their way at one endpoint, if nothing else was said."""


@dataclass(frozen=True)
class Endpoint:
    """What one end of a transfer is at: a host, a bucket, a collection, or the disks of this machine.

    Attributes:
        service: ``scheme://``, or the URL of an S3 service that is not Amazon's.
        host: As in a `Location`; ``localhost`` for this machine.
    """

    service: str
    host: str

    @classmethod
    def of(cls, location: Location, access: Access | None = None) -> Endpoint:
        """Return the endpoint of a location."""
        if location.scheme == "file":
            return cls("file://", "localhost")
        port = f":{location.port}" if location.port else ""
        service = access.endpoint_url if access is not None else ""
        return cls(service or f"{location.scheme}://", f"{location.host}{port}")


@dataclass(frozen=True)
class Limits:
    """What a process keeps to.

    Attributes:
        transfers: How many replicas may be on their way at one endpoint.
        bytes_per_s: Bytes in a second at one endpoint; 0 for no limit.
        bytes_per_s_of: The same for single hosts, in place of ``bytes_per_s``.
    """

    transfers: int = AT_ONCE
    bytes_per_s: float = 0.0
    bytes_per_s_of: Mapping[str, float] = field(default_factory=dict)


class Endpoints:
    """Keeps to limits. May be used by several threads.

    Args:
        limits: What to keep to.
        clock: Seconds that only go up.
    """

    def __init__(self, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: Counter[Endpoint] = Counter()
        self._bandwidths: dict[Endpoint, Bandwidth | None] = {}

    def has_room(self, end: Endpoint) -> bool:
        """Return whether an endpoint takes one more transfer."""
        with self._lock:
            return self._taken[end] < self._limits.transfers

    def take(self, ends: Iterable[Endpoint]) -> bool:
        """Count one more transfer at some endpoints; return False, and count none, when one of them has enough."""
        wanted = set(ends)
        with self._lock:
            if any(self._taken[end] >= self._limits.transfers for end in wanted):
                return False
            self._taken.update(wanted)
            return True

    def give_back(self, ends: Iterable[Endpoint]) -> None:
        """Count one transfer less at some endpoints."""
        with self._lock:
            self._taken.subtract(set(ends))

    def pace(self, ends: Iterable[Endpoint]) -> Pace | None:
        """Return what a transfer that touches some endpoints keeps to; None for no limit."""
        with self._lock:
            found = [limit for end in sorted(set(ends), key=str) if (limit := self._bandwidth(end))]
        return Slowest(found) if found else None

    def _bandwidth(self, end: Endpoint) -> Bandwidth | None:
        if end not in self._bandwidths:
            rate = self._limits.bytes_per_s_of.get(end.host, self._limits.bytes_per_s)
            self._bandwidths[end] = Bandwidth(rate, self._clock) if rate else None
        return self._bandwidths[end]


class Slowest:
    """Several limits at once.

    Args:
        limits: Each is told of all bytes.
    """

    def __init__(self, limits: Iterable[Bandwidth]) -> None:
        self._limits = tuple(limits)

    def pause_s(self, count: int) -> float:
        """See `Bandwidth.pause_s`."""
        return max(limit.pause_s(count) for limit in self._limits)
