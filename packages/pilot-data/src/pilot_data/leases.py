"""Keeps the lease of a replica while its files are moved, and ends the transfer when it is lost or not wanted any more."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from types import TracebackType

from pilot_protocol.data_records import ReplicaLetter
from pilot_protocol.errors import CoordinationError
from pilot_protocol.states import is_final

from .catalogue import LEASE_S, Catalogue
from .job import Job

RENEW_S = LEASE_S / 4


class LeaseKeeper(AbstractContextManager["LeaseKeeper"]):
    """Renews a lease from its entry to its exit, in a thread of its own, which the next change of the catalogue ends.

    Args:
        catalogue: Knows the lease.
        data_unit: Whose files are moved.
        pilot_data: Where to.
        owner: Who holds the lease.
        job: Is canceled when the lease is lost, or the data unit, the Pilot-Data or the replica ends.
    """

    def __init__(self, catalogue: Catalogue, data_unit: str, pilot_data: str, owner: str, job: Job) -> None:
        self._moved = 0
        self._lock = threading.Lock()
        self._catalogue = catalogue
        self._replica = (data_unit, pilot_data)
        self._owner = owner
        self._job = job
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease of {data_unit}", daemon=True)

    def __enter__(self) -> LeaseKeeper:  # noqa: PYI034 - typing.Self exists since Python 3.11 only
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def count(self, count: int) -> None:
        """Take note of bytes that have moved."""
        with self._lock:
            self._moved += count

    def _keep(self) -> None:
        while not self._ended.is_set():
            try:
                if self._is_pointless() or not self._renewed():
                    self._job.cancel()
                    return
                self._catalogue.wait_for(lambda: self._ended.is_set() or self._is_pointless(), RENEW_S)
            except CoordinationError:
                # The server is away. The transfer goes on; whether the lease was kept shows at the end.
                self._ended.wait(RENEW_S)

    def _renewed(self) -> bool:
        return self._ended.is_set() or self._catalogue.renew(*self._replica, self._owner, self._moved)

    def _is_pointless(self) -> bool:
        data_unit, pilot_data = self._replica
        unit, store = self._catalogue.data_unit(data_unit), self._catalogue.pilot_data(pilot_data)
        if unit is None or store is None or is_final(unit.state) or is_final(store.state):
            return True
        replica = unit.replicas.get(pilot_data)
        return replica is None or replica.letter != ReplicaLetter.RUNNING or replica.owner != self._owner
