"""What a compute unit that reads data units waits for. Pure: from records to words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord
from pilot_protocol.states import State, is_final

from .tracked_pilot import number


@dataclass(frozen=True)
class AwaitedData:
    """A data unit that a compute unit reads, as the records have it.

    Attributes:
        id: ``du-…``.
        state: Its state.
        producers: How many compute units that have not ended are to add files to it.
        replicas: Where it is, or is to be.
    """

    id: str
    state: State
    producers: int
    replicas: tuple[ReplicaRecord, ...]

    @property
    def is_there(self) -> bool:
        """Whether a compute unit can have it."""
        return not is_final(self.state) and not self.producers and self._whole()

    @property
    def can_come(self) -> bool:
        """Whether it is there, or somebody is to bring it, as far as it depends on data alone."""
        return self.is_there or any(replica.is_in_work for replica in self.replicas)

    @property
    def is_nowhere(self) -> bool:
        """Whether it never comes unless somebody submits what makes it."""
        return not self.can_come and not self.producers

    @property
    def reason(self) -> str:
        """What is missing, with its name; empty when it is there."""
        if self.is_there:
            return ""
        if self.producers:
            units = "1 compute unit is" if self.producers == 1 else f"{self.producers} compute units are"
            return f"data unit {self.id}, to which {units} still to add files"
        on_the_way = [_where(replica) for replica in self.replicas if replica.is_in_work]
        if on_the_way:
            return f"data unit {self.id}, {' and '.join(on_the_way)}"
        if is_final(self.state):
            return f"data unit {self.id}, which is {self.state}"
        return f"data unit {self.id}, which is nowhere, and no compute unit is to add files to it"

    def at(self, pilot_data: str) -> AwaitedData:
        """Return it as it is at one Pilot-Data."""
        return replace(
            self, replicas=tuple(replica for replica in self.replicas if replica.pilot_data == pilot_data)
        )

    def _whole(self) -> bool:
        return any(replica.letter == ReplicaLetter.DONE for replica in self.replicas)


def _where(replica: ReplicaRecord) -> str:
    if replica.letter == ReplicaLetter.RUNNING:
        return f"which is on its way to {replica.pilot_data}"
    return (
        f"which is to come to {replica.pilot_data}, and nobody has begun to copy it (pilot-data serve does)"
    )


def waits_for(open_predecessors: int, data: Sequence[AwaitedData]) -> str:
    """Return what a unit waits for; empty when it is nothing of these.

    Args:
        open_predecessors: How many entries hold it back: units, data units and copies of them.
        data: The data units and copies that it needs.
    """
    missing = [unit.reason for unit in data if not unit.is_there]
    units = open_predecessors - len(missing)
    reasons = [*([number(units, "predecessor")] if units > 0 else []), *missing]
    return f"waits for {' and for '.join(reasons)}" if reasons else ""
