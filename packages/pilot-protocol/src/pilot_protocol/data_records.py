"""What is kept of Pilot-Data, data units, their files and replicas, and its bytes.

Records are JSON lists whose fields are only ever added at the end. The states of replicas are letters.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from . import codec
from .errors import ProtocolError


class ReplicaLetter:
    """The states of a replica: the files of one data unit at one Pilot-Data."""

    PENDING: Final = "P"  # asked for
    RUNNING: Final = "R"  # somebody holds its lease and moves files
    DONE: Final = "D"
    FAILED: Final = "F"
    CANCELED: Final = "C"


class FileRecord(NamedTuple):
    """One file of a data unit."""

    path: str
    """Below the data unit, ``/`` between names; bytes that are no UTF-8 as surrogates."""
    size: int = 0
    mtime_ns: int = 0
    mode: int = 0
    checksum: str = ""
    """SHA-256, 64 hexadecimal digits; empty until it is known."""
    link: str = ""
    is_folder: bool = False
    part: int = 0
    """Which submission brought it, counted from 0: what came together is stored together."""

    def to_bytes(self) -> bytes:
        """Return the record without the path, which is its name."""
        return codec.encode([*self[1:6], int(self.is_folder), self.part])

    @classmethod
    def from_bytes(cls, path: str, record: bytes) -> FileRecord:
        """Read a record.

        Raises:
            ProtocolError: It has another shape.
        """
        values = codec.decode(record)
        if not isinstance(values, list) or len(values) < len(_FILE_TYPES):
            raise ProtocolError(f"the record of file {path!r} cannot be read: {record[:80]!r}")
        for value, wanted in zip(values, _FILE_TYPES):
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise ProtocolError(
                    f"the record of file {path!r} has {value!r} where a {wanted.__name__} belongs"
                )
        size, mtime_ns, mode, checksum, link, is_folder, part = values[: len(_FILE_TYPES)]
        return cls(path, size, mtime_ns, mode, checksum, link, bool(is_folder), part)


_FILE_TYPES: tuple[type[Any], ...] = (int, int, int, str, str, int, int)


class ReplicaRecord(NamedTuple):
    """What is known of one replica."""

    data_unit: str
    pilot_data: str
    letter: str = ReplicaLetter.PENDING
    owner: str = ""
    """Who holds the lease."""
    bytes: int = 0
    """How many have moved; all of them when it is Done."""
    reason: str = ""
    """Why it has Failed."""

    @property
    def is_in_work(self) -> bool:
        """Whether it is still to become something else."""
        return self.letter in {ReplicaLetter.PENDING, ReplicaLetter.RUNNING}


class PilotDataPlace(NamedTuple):
    """What placing needs to know of a Pilot-Data."""

    service: str = ""
    """Its PilotDataService."""
    label: str = ","
    """From :func:`~pilot_protocol.keys.label_of`."""
    size_limit: int = 0
    """Most bytes that it may hold; 0 for any."""

    @classmethod
    def from_bytes(cls, record: bytes) -> PilotDataPlace:
        """Read a record as a script wrote it; one that cannot be read is that of a place of which nothing is known."""
        parts = record.decode("utf-8", "replace").split("|")
        if len(parts) != 3 or not parts[2].isdecimal():
            return cls()
        return cls(parts[0], parts[1] or ",", int(parts[2]))


class DataUnitReading(NamedTuple):
    """What is known of a data unit."""

    record: bytes | None
    """Sealed; None for one that is not known."""
    state: str
    """Empty for one that is not known."""
    reason: str
    size: int
    """Bytes of its files."""
    files: int
    """How many it has."""
    replicas: list[ReplicaRecord]
    producers: int
    """Units that have not ended and are to add files to it."""
    spoilt_by: str
    """The first of these that ended otherwise than well; empty without one."""


def state_of_replicas(replicas: Iterable[ReplicaRecord], wanted: int, producers: int = 0) -> str:
    """Return the state that a data unit's replicas give it.

    ``Pending`` while units are still to add files; else ``Running`` as soon as there are as many replicas as it asks for,
    ``Pending`` while another is in work, then how they ended.

    Args:
        replicas: All of them; without any it is Pending.
        wanted: How many the description asks for. Beyond that, one that fails costs the data unit nothing; nor does one
            that was taken away, as long as another is there.
        producers: Units that have not ended and are to add files to it.
    """
    letters = [replica.letter for replica in replicas]
    done, failed = letters.count(ReplicaLetter.DONE), ReplicaLetter.FAILED in letters
    if producers or not letters:
        return "Pending"
    if done and done >= wanted:
        return "Running"
    if ReplicaLetter.PENDING in letters or ReplicaLetter.RUNNING in letters:
        return "Pending"
    if failed:
        return "Failed"
    return "Running" if done else "Canceled"
