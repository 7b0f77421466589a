"""The scripts of Redis as far as one pilot sees them, in memory, for tests of the agent's core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core_builders import Request
from pilot_agent.actions import Claim, ReportItem
from pilot_agent.events import ClaimedUnit

FINAL = ("D", "F", "C")


@dataclass
class StoredUnit:
    """What Redis knows of a unit, and how often it really started."""

    id: str
    request: Request
    order: int
    state: str = "N"
    attempt: int = 0
    is_held: bool = False
    restarts: int = 3
    retries: int = 0
    is_canceled: bool = False
    starts: int = 0
    more_starts: int = 0
    """For which there was a reason: its run was cut off, a retry was due, or Redis could not know yet that it ran."""


class StoredUnits:
    """The scripts of Redis, as far as one pilot sees them."""

    def __init__(self) -> None:
        self.units: dict[str, StoredUnit] = {}
        self.is_hungry = False

    def submit(self, request: Request, retries: int = 0) -> StoredUnit:
        number = len(self.units)
        stored = StoredUnit(f"cu-x-{number}", request, number, restarts=request.max_restarts, retries=retries)
        self.units[stored.id] = stored
        return stored

    def claim(self, claim: Claim) -> list[ClaimedUnit]:
        budget, reserve = claim.cores, claim.reserve
        taken: list[ClaimedUnit] = []
        ready = sorted(
            (stored for stored in self.units.values() if stored.state == "N"),
            key=lambda stored: (-stored.request.priority, stored.order),
        )
        for stored in ready:
            if len(taken) == claim.want or budget <= 0:
                break
            if stored.request.cores > budget:
                if not reserve:
                    continue
                reserve = 0
            else:
                budget -= stored.request.cores
            stored.attempt += 1
            stored.state, stored.is_held = "A", True
            taken.append(stored.request.claimed(stored.id, stored.attempt))
        self.is_hungry = len(taken) < claim.want
        return taken

    def report(self, items: Sequence[ReportItem]) -> str:
        return "".join(self._apply(item) for item in items)

    def _apply(self, item: ReportItem) -> str:
        stored = self.units.get(item.id)
        if stored is None:
            return "3"
        is_mine = stored.is_held and stored.attempt == item.attempt
        if stored.state in FINAL:
            return "2" if stored.attempt == item.attempt else "0"
        if stored.attempt != item.attempt or (
            stored.state == "N" and item.letter not in ("D", "F", "C", "E")
        ):
            return "0"
        if not is_mine and stored.state != "N":
            return "0"
        if item.letter in ("S", "R"):
            if stored.state in (item.letter, "R"):
                return "2"
            stored.state = item.letter
            return "1"
        self._settle(stored, item.letter)
        return "1"

    def _settle(self, stored: StoredUnit, letter: str) -> None:
        stored.is_held = False
        if letter in ("U", "H"):
            self._requeue(stored)
        elif letter == "L" and stored.restarts:
            stored.restarts -= 1
            stored.more_starts += 1
            self._requeue(stored)
        elif letter == "E" and stored.retries:
            stored.retries -= 1
            stored.more_starts += 1
            self._requeue(stored)
        else:
            self.conclude(stored, "F" if letter in ("L", "E") else letter)

    def _requeue(self, stored: StoredUnit) -> None:
        if stored.is_canceled:
            self.conclude(stored, "C")
        else:
            stored.state = "N"

    def conclude(self, stored: StoredUnit, letter: str) -> None:
        assert stored.state not in FINAL, f"{stored} ended twice"
        stored.state = letter

    def cancel(self, stored: StoredUnit) -> bool:
        """Return whether the agent is to be told."""
        if stored.state in FINAL:
            return False
        stored.is_canceled = True
        if stored.state == "N":
            self.conclude(stored, "C")
            return False
        return True

    def expire_lease(self) -> None:
        """Give away all that the pilot holds, as a sweep does."""
        for stored in self.units.values():
            if stored.is_held:
                stored.is_held = False
                if stored.state == "R":
                    self._settle(stored, "L")
                else:
                    stored.more_starts += 1
                    self._requeue(stored)

    def sync(self, held: list[tuple[str, int]]) -> list[str]:
        kept = set()
        for unit_id, attempt in held:
            stored = self.units[unit_id]
            if stored.is_held and stored.attempt == attempt:
                kept.add(unit_id)
        for stored in self.units.values():
            if stored.is_held and stored.id not in kept:
                stored.is_held = False
                self._requeue(stored)
        return [unit_id for unit_id, _ in held if unit_id not in kept]
