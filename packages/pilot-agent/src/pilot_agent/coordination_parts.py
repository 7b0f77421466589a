"""What a coordinator is given: the parts that it works with, and what the rest of the head does for it. Data only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

from pilot_protocol.signing import Seal

from . import events
from .actions import ReportItem
from .intake import Intake
from .outcome import Outcome, ServerClock
from .redis_link import RedisLink

Dispatch = Callable[[events.Event], None]


@dataclass(frozen=True)
class Parts:
    """What a coordinator works with."""

    link: RedisLink
    seal: Seal
    intake: Intake
    outcome: Outcome
    clock: ServerClock


@dataclass(frozen=True)
class Hooks:
    """What the rest of the head does for a coordinator."""

    dispatch: Dispatch
    """Hands an event to the core."""
    held: Callable[[], Sequence[tuple[str, int]]]
    """Units and attempts that the agent holds."""
    registered: Callable[[str], None]
    """Called with each new epoch."""
    needed: Callable[[], None]
    """Called when replicas are asked for that the mover may make."""
    confirmed: Callable[[Sequence[ReportItem], str], None]
    """Called with the reports that Redis answered, before the core hears of it."""
    said_lately: Callable[[], Sequence[ReportItem]]
    """Ends that were confirmed within the durability window, to be said again to a server that restarted."""
    record: Callable[[], dict[str, str]]
    """What the pilot's record says beside its lease: free cores and the like."""
