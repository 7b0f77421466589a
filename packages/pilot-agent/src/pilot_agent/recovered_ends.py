"""What a head makes of the journal that another one before it has left: ends to be reported, and units that are lost. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .actions import ReportItem
from .core.endings import judge
from .journal import Recovery
from .unit_record import Cause

_AGENT_DIED = Cause("L", "lost", "the agent died while it ran")


def reports_of(recovery: Recovery) -> list[ReportItem]:
    """Return what a restarted head tells first: known ends, and units of which nobody knows what became of them."""
    lost = [ReportItem(*unit, *recovery.causes.get(unit, _AGENT_DIED)[:3]) for unit in recovery.lost]
    return known_ends(recovery.ended, recovery) + [item for item in lost if item.letter]


def known_ends(ends: Mapping[tuple[str, int], Any], recovery: Recovery) -> list[ReportItem]:
    """Return how these ends are told, those that are told at all; why a unit was told to end is heeded."""
    items = []
    for unit, end in ends.items():
        written = recovery.causes.get(unit)
        verdict = judge(end, Cause(*written) if written else None)
        if verdict.letter:
            items.append(ReportItem(*unit, verdict.letter, verdict.reason, verdict.message, end))
    return items
