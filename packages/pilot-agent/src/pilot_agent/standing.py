"""What a server says of this agent's place at its pilot, as the agent comes to it (again). Pure.

The invariant: epochs only grow, so an older one than ours, or none, comes from a server that has forgotten ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Standing:
    """One look at a pilot's record.

    Attributes:
        is_forgotten: The server does not know our registration any more: until we register again, it takes what we
            report for an earlier agent's.
        is_succeeded: Another agent has taken up the pilot after us.
    """

    is_forgotten: bool
    is_succeeded: bool

    @classmethod
    def of(cls, record: Mapping[str, bytes], epoch: str, instance: str) -> Standing:
        """Read a pilot's record.

        Args:
            record: As :func:`pilot_protocol.reads.pilot` gives it.
            epoch: Ours.
            instance: The nonce of this start of the agent.
        """
        there = record.get("epoch", b"")
        number = int(there) if there.isdigit() else 0
        is_newer = number > int(epoch)
        return cls(number < int(epoch), is_newer and record.get("instance") != instance.encode())
