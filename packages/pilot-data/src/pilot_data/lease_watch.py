"""Which leases of others may have run out, by what is seen of them: a holder that lives is heard of again and again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pilot_protocol.data_records import ReplicaRecord

from .catalogue import LEASE_S

Replica = tuple[str, str]
"""A data unit and a Pilot-Data."""


@dataclass(frozen=True)
class _Seen:
    """What was seen of a lease, and since when there has been nothing else."""

    owner: str
    moved: int
    since_s: float


class LeaseWatch:
    """Watches the leases of others.

    Args:
        clock: Seconds that only go up.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Replica, _Seen] = {}

    def may_be_over(self, replica: ReplicaRecord, *, is_old: bool) -> bool:
        """Return whether it makes sense to try to take a lease; `tried` says that it was.

        Args:
            replica: Somebody else's.
            is_old: Whether a lease that is seen for the first time may be one of long ago.
        """
        key, now = (replica.data_unit, replica.pilot_data), self._clock()
        known = self._seen.get(key)
        if known is None:
            known = self._seen[key] = _Seen(replica.owner, replica.bytes, now - LEASE_S if is_old else now)
        elif (known.owner, known.moved) != (replica.owner, replica.bytes):
            known = self._seen[key] = _Seen(replica.owner, replica.bytes, now)
        return now - known.since_s >= LEASE_S

    def tried(self, replica: ReplicaRecord) -> None:
        """Take note that somebody is about to try it: it is not over for another while."""
        self._seen[replica.data_unit, replica.pilot_data] = _Seen(replica.owner, replica.bytes, self._clock())

    def keep_only(self, replicas: Collection[Replica]) -> None:
        """Forget all others."""
        for key in self._seen.keys() - set(replicas):
            del self._seen[key]

    def next_s(self) -> float | None:
        """Return in how many seconds the next lease may be over; None when none is watched that is not over yet."""
        now = self._clock()
        left = [seen.since_s + LEASE_S - now for seen in self._seen.values()]
        return min((seconds for seconds in left if seconds > 0), default=None)
