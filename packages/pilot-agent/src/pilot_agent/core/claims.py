"""When to ask Redis for units, and for how many.

Never by a timer: there must be room, and a reason to believe that Redis has something, which is a doorbell, a last claim
that came back full, or room for units larger than those that the last claim could have brought. A pilot that has put many
units aside takes no more, lest it keep them from pilots that could run them.

Input is moved in while other units run: as long as claims bring units with data, so many are held ahead as could run at once on
all cores, those whose input is on its way among them.

Invariant: at most one claim is under way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from pilot_agent.actions import Claim
from pilot_agent.rate import Ahead
from pilot_agent.scheduler.reservation import Reservation
from pilot_agent.scheduler.scheduler import Scheduler

from .staging import Staging

MOST_UNITS = 500
"""Of one claim."""
MOST_ASIDE = 500
"""So many units that it will not start a pilot keeps from others."""


class _Room(NamedTuple):
    units: int
    cores: int
    reserve: int
    is_wide: bool
    """Whether the room is worth a claim: cores would lie idle, or half of what is held ahead is used up."""


PASS_ON = Claim(0, 0, 0)
"""Asks for nothing, so that Redis rings somebody else for what it rang here."""


class Claims:
    """Decides on claims.

    Args:
        scheduler: Whose cores are to be filled.
        staging: Units that will want them.
    """

    def __init__(self, scheduler: Scheduler, staging: Staging) -> None:
        self._scheduler = scheduler
        self._staging = staging
        self.under_way: Claim | None = None
        self._expects_work = True
        self._was_rung = False
        self._tried_cores = math.inf
        """Up to so many cores, Redis had nothing more."""
        self.expects_data = False
        """Whether units with data came last, and what was held ahead for them was of use."""

    def take(self, now_s: float, *, may_start: bool) -> Claim | None:
        """Return the claim that is to be sent now, if any.

        Args:
            now_s: The time.
            may_start: Whether the pilot may start units.
        """
        if self.under_way is not None:
            return None
        claim = self._wanted(now_s) if may_start else None
        if claim is None and self._was_rung:
            claim = PASS_ON
        if claim is not None:
            self._was_rung = False
        self.under_way = claim
        return claim

    def _wanted(self, now_s: float) -> Claim | None:
        if len(self._scheduler.aside) >= MOST_ASIDE:
            return None
        if not self._expects_work and self._tried_cores == math.inf:
            return None
        room = self._room(now_s)
        want = min(room.units, room.cores, MOST_UNITS)
        if want <= 0 or not room.is_wide:
            return None
        if not self._expects_work and not room.reserve and room.cores <= self._tried_cores:
            return None
        self._expects_work = False
        return Claim(want, room.cores, room.reserve)

    def _room(self, now_s: float) -> _Room:
        scheduler = self._scheduler
        queue = scheduler.queue
        if scheduler.reservation is not None:
            return self._room_beside(scheduler.reservation)
        free = scheduler.slots.free_cores
        ahead = scheduler.rates.prefetch(now_s)
        if self.expects_data:
            ahead = self._round(ahead)
        waiting, cores = len(queue) + len(self._staging), queue.cores + self._staging.cores
        is_wide = free > cores or 2 * waiting <= ahead.units
        return _Room(free + ahead.units - waiting, free + ahead.cores - cores, 1, is_wide)

    def _round(self, ahead: Ahead) -> Ahead:
        cores = self._scheduler.slots.capacity().cores
        return Ahead(max(ahead.units, cores), max(ahead.cores, cores))

    def _room_beside(self, reservation: Reservation) -> _Room:
        """Return the room while cores are kept for a unit: what later ones may still take of it."""
        queue = self._scheduler.queue
        kept = sum(node.free_count for node in reservation.nodes)
        allowed = (
            sum(max(spare.cores, 0) for spare in reservation.spares.values()) + reservation.overtakes_left
        )
        free = self._scheduler.slots.free_cores - kept + min(kept, allowed)
        cores = free - (queue.cores - reservation.record.shape.cores) - self._staging.cores
        return _Room(free - (len(queue) - 1) - len(self._staging), cores, 0, is_wide=True)

    def answered(self, units: int, cores: int, *, has_data: bool = False) -> None:
        """Take the reply: so many units came, which ask for so many cores in all, some with data or none."""
        if units:
            self.expects_data = has_data
        claim, self.under_way = self.under_way, None
        if claim is None or claim is PASS_ON:
            return
        if units >= claim.want or cores >= claim.cores:
            self._expects_work = True
        self._tried_cores = math.inf if claim.reserve else claim.cores - cores

    def expect_work(self) -> None:
        """Note that Redis may have something."""
        self._expects_work = True

    def hear_bell(self) -> None:
        """Note that the doorbell rang. It is answered, if only to have it passed on."""
        self._expects_work = self._was_rung = True

    def void(self) -> None:
        """Note that no reply will come to the claim under way, if there is one."""
        self.under_way = None
        self._expects_work = True
