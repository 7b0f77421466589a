"""What the mover is to be asked, gathered while an event is handled. What comes of it is decided elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pilot_agent.actions import MoveRequest, SendMoves
from pilot_agent.unit_data import UnitData


class Moves:
    """Requests on their way to the mover, in their order."""

    def __init__(self) -> None:
        self._requests: list[MoveRequest] = []

    def stage(self, unit_id: str, attempt: int, data: UnitData) -> None:
        """Ask for a unit's input."""
        self._requests.append(
            MoveRequest("in", unit_id, attempt, data.folder, data.inputs, list(data.fetches))
        )

    def deliver(self, unit_id: str, attempt: int, delivery: Mapping[str, Any]) -> None:
        """Ask to move a unit's output out; ``delivery`` is what its END says."""
        self._requests.append(
            MoveRequest(
                "out", unit_id, attempt, delivery["folder"], delivery["data"], list(delivery["transfers"])
            )
        )

    def cancel(self, unit_id: str, attempt: int) -> None:
        """Have what was asked for a unit given up. It is answered all the same."""
        self._requests.append(MoveRequest("cancel", unit_id, attempt))

    def release(self, unit_id: str, attempt: int) -> None:
        """Say that a unit needs its input no more."""
        self._requests.append(MoveRequest("release", unit_id, attempt))

    def take(self) -> list[SendMoves]:
        """Return what was gathered since the last call, as one action or none."""
        if not self._requests:
            return []
        requests, self._requests = self._requests, []
        return [SendMoves(requests)]
