"""What one turn of the scheduler decided. Data only."""

from __future__ import annotations

from pilot_agent.unit_record import UnitRecord


class Plan:
    """What one turn of the scheduler decided.

    Attributes:
        placed: Units that got a slot; whoever reads the plan says in which phase they are then.
        chained: Units for the executor named in them.
        recalled: Chained units that their executor is to give back.
        released: Chained units that got cores after all.
        aside: Units that could not end in the time that is left, or for which too many nodes are gone.
    """

    __slots__ = ("aside", "chained", "placed", "recalled", "released")

    def __init__(self) -> None:
        self.placed: list[UnitRecord] = []
        self.chained: list[UnitRecord] = []
        self.recalled: list[UnitRecord] = []
        self.released: list[UnitRecord] = []
        self.aside: list[UnitRecord] = []
