"""What a Redis server says of itself, and what of it the user should know. Pure: reads replies only.

INFO tells all but one thing, whether snapshots are written; CONFIG, which tells it, may be denied on a shared server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilot_protocol.errors import CoordinationError
from pilot_protocol.operation import Query
from pilot_protocol.scripts import knows_flags

OLDEST = (6, 2)

SNAPSHOTS = Query(("CONFIG", "GET", "save"), lambda reply: bool(reply and reply[1]))
"""Asks whether the server writes snapshots."""


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

    def persistence_note(self, place: str, *, snapshots: bool) -> str:
        """Return what to tell about a server that may forget; empty when it writes everything down.

        Args:
            place: Its URL without password.
            snapshots: Whether it writes snapshots now and then.
        """
        if self.append_only:
            return ""
        what = "what it took since its last snapshot" if snapshots else "everything"
        return (
            f"the Redis server at {place} has no append-only file: {what} is lost when it dies, and what was said "
            "longer than 30 s before cannot be said again; set appendonly yes for long campaigns"
        )
