"""What a Redis server says of itself, and what of it the user should know. Pure: reads INFO's fields only.

CONFIG is not asked: it may be denied to users of a shared server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilot_protocol.errors import CoordinationError
from pilot_protocol.scripts import knows_flags

OLDEST = (6, 2)


@dataclass(frozen=True)
class ServerFacts:
    """One server.

    Attributes:
        boot: Its run id; another one means that it restarted or that another server took over.
        version: The Redis version whose commands it has (Valkey says 7.2 or more).
        append_only: Whether it writes what it confirms to an append-only file.
        evicts: How it makes room when its memory is full; empty when it refuses to write then.
    """

    boot: str
    version: str
    append_only: bool
    evicts: str

    @classmethod
    def from_info(cls, info: Mapping[str, Any]) -> ServerFacts:
        """Read the reply to INFO."""
        policy = str(info.get("maxmemory_policy", "noeviction"))
        full_one_day = int(info.get("maxmemory", 0)) > 0
        return cls(
            boot=str(info["run_id"]),
            version=str(info["redis_version"]),
            append_only=bool(info.get("aof_enabled")),
            evicts=policy if full_one_day and policy != "noeviction" else "",
        )

    @property
    def knows_flags(self) -> bool:
        """Whether its scripts may have flags."""
        return knows_flags(self.version)

    def check(self, place: str) -> None:
        """Refuse a server that is too old.

        Args:
            place: Its URL without password, for the message.

        Raises:
            CoordinationError: It is.
        """
        numbers = tuple(int(part) for part in self.version.split(".")[:2] if part.isdigit())
        if numbers < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise CoordinationError(
                f"the server at {place} is Redis {self.version}; {oldest} or newer is needed, or any Valkey",
                transient=False,
            )

    def eviction_warning(self, place: str) -> str:
        """Return what to tell about a server that throws data away when it is full; empty when it does not."""
        if not self.evicts:
            return ""
        return (
            f"the Redis server at {place} has maxmemory-policy {self.evicts}: when its memory is full it drops "
            "compute units without notice; set it to noeviction"
        )

    def persistence_note(self, place: str) -> str:
        """Return what to tell about a server that keeps snapshots at most; empty when it writes everything down."""
        if self.append_only:
            return ""
        return (
            f"the Redis server at {place} has no append-only file: what it took since its last snapshot is lost when "
            "it dies for longer than 30 s; set appendonly yes for long campaigns"
        )
