"""Whom a stager tells what it does."""

from __future__ import annotations

from pilot_protocol.data_records import ReplicaRecord

from .ways import Way


class StagingListener:
    """Told how replicas come along, by several threads; this one does nothing with it."""

    def begun(self, data_unit: str, way: Way) -> None:
        """The lease of a replica is held, and its files begin to move."""

    def ended(self, replica: ReplicaRecord) -> None:
        """A replica is what its letter says now: Pending when it was handed back."""

    def left(self, data_unit: str, pilot_data: str, reason: str) -> None:
        """A replica that is asked for cannot be made by this process."""

    def troubled(self, error: str) -> None:
        """The catalogue cannot be reached, and is tried again; or a record cannot be read, and is passed over."""
