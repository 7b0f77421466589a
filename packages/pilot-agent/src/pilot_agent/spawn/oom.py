"""Telling a process that the kernel killed for want of memory from one that somebody else killed."""

from __future__ import annotations

_COUNTERS = "/proc/vmstat"
_FIELD = b"\noom_kill "


class OomWatch:
    """Watches the kernel's count of processes it killed for want of memory, on the node or in a control group.

    The count is the node's: a kill of another user's process since the last look makes a SIGKILL look like one, too.
    """

    def __init__(self, counters: str = _COUNTERS) -> None:
        self._counters = counters
        self._seen = self._count()

    def fresh_kill(self) -> bool:
        """Whether the count has grown since the last call, or since the beginning; False where the kernel has none."""
        before, self._seen = self._seen, self._count()
        return self._seen > before

    def _count(self) -> int:
        try:
            with open(self._counters, "rb") as counters:
                text = b"\n" + counters.read()
        except OSError:
            return 0
        _, found, rest = text.partition(_FIELD)
        return int(rest.split(b"\n", 1)[0]) if found else 0
