"""A session in memory: the operations without Redis, for tests of what uses them.

:class:`MemorySession` does what the scripts promise in the plainest way; a property-based test holds it against real
servers. It has no clock: tests say when a lease has passed or the server has restarted. It keeps no doorbells, events
and times to live, takes no reads, and finishes at once what scripts may leave for later.
"""

from __future__ import annotations

from .pilots import MemoryPilot
from .records import MemoryUnit
from .session import MemorySession

__all__ = ["MemoryPilot", "MemorySession", "MemoryUnit"]
