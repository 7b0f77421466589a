"""The ground truth of fault tests: a file to which every unit appends, by itself, that it started and that it ended.

Each line is one write to a descriptor opened with O_APPEND, so that lines of units that run side by side stay whole and in
the order in which they were written. What Redis, the agents and their journals say is held against this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_NOTE = 'echo "$0 $PILOT_UNIT_ID $PILOT_UNIT_ATTEMPT $PILOT_ID" >> "$LOG"'


class ExecLog:
    """The log and the programs that write to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def payload(self, act: str = ":", **more: Any) -> dict[str, Any]:
        """Return a description whose program notes its start, does `act` (shell), and notes its end."""
        script = f"{_NOTE.replace('$0', 'start')}; {act}; {_NOTE.replace('$0', 'end')}"
        return {
            "executable": "/bin/sh",
            "arguments": ["-c", script],
            "environment": {"LOG": str(self.path)},
            "expand_arguments": False,
            **more,
        }

    def lines(self) -> list[tuple[str, str, int, str]]:
        """Return what was written: `start` or `end`, unit, attempt, pilot."""
        split = [line.split() for line in self.path.read_text().splitlines()]
        return [(what, unit, int(attempt), pilot) for what, unit, attempt, pilot in split]

    def starts(self) -> Counter[str]:
        """Return how often each unit started."""
        return Counter(unit for what, unit, *_ in self.lines() if what == "start")

    def started_again(self) -> int:
        """Return how many starts there were beyond each unit's first."""
        return sum(count - 1 for count in self.starts().values())

    def started_after_end(self) -> list[str]:
        """Return the units that started again although an earlier run had noted its end."""
        ended: set[str] = set()
        again = []
        for what, unit, *_ in self.lines():
            if what == "end":
                ended.add(unit)
            elif unit in ended:
                again.append(unit)
        return again

    def never_started(self, units: Sequence[str]) -> list[str]:
        """Return those of `units` that never ran."""
        starts = self.starts()
        return [unit for unit in units if not starts[unit]]

    def pilots_of(self, unit: str) -> list[str]:
        """Return where a unit started, in order."""
        return [pilot for what, name, _, pilot in self.lines() if what == "start" and name == unit]
