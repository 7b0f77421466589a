"""What a session in memory knows of one replica, one data unit, one Pilot-Data."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilot_protocol.data_records import PilotDataPlace

FINAL = frozenset({"Done", "Failed", "Canceled"})


@dataclass
class MemoryReplica:
    """What is known of a replica."""

    at: str
    letter: str = "P"
    owner: str = ""
    moved: int = 0
    reserved: int = 0
    lacks_files: bool = False
    """Whether files were delivered since it was claimed, which its owner may not know of."""
    reason: str = ""

    @property
    def is_in_work(self) -> bool:
        """Whether it is still to become something else."""
        return self.letter in "PR"

    def ask(self) -> None:
        """Ask for it, unless it is in work."""
        if not self.is_in_work:
            self.letter, self.owner, self.moved, self.reason = "P", "", 0, ""


@dataclass
class MemoryDataUnit:
    """What is known of a data unit."""

    record: bytes
    wanted: int
    state: str = "Pending"
    reason: str = ""
    replicas: dict[str, MemoryReplica] = field(default_factory=dict)
    files: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    producers: int = 0
    """Units that have not ended and are to add files to it."""
    spoilt_by: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.state in FINAL

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(size for size, _ in self.files.values())

    @property
    def has_whole(self) -> bool:
        """Whether all of its files are somewhere."""
        return any(replica.letter == "D" for replica in self.replicas.values())

    def is_asked(self, at: str) -> bool:
        """Tell whether somebody should make a replica."""
        letter = self.replicas[at].letter
        return not self.is_over and (letter == "R" or (letter == "P" and not self.producers))

    def verdict(self, mode: str) -> str:
        """Tell what it means for who reads it: ``go``, ``wait`` or ``end``; ``r`` runs after failure, ``c`` does not."""
        if mode == "c" and (self.spoilt_by or self.state in FINAL - {"Done"}):
            return "end"
        if self.is_over:
            return "go" if self.has_whole else "end"
        if self.producers:
            return "wait"
        if self.has_whole:
            return "go"
        is_coming = any(replica.is_in_work for replica in self.replicas.values())
        return "end" if self.spoilt_by and not is_coming else "wait"


@dataclass
class MemoryStore:
    """What is known of a Pilot-Data."""

    place: PilotDataPlace
    state: str = "Running"

    @property
    def label(self) -> tuple[str, str]:
        """Datacenter and machine."""
        datacenter, machine = self.place.label.split(",")
        return datacenter, machine
