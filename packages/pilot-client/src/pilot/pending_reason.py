"""Why a compute unit is pending. Pure: from its record and the pilots that may take it to one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from pilot_protocol.messages import UnitRecord
from pilot_protocol.states import State, UnitLetter

from .data_waits import AwaitedData, waits_for
from .tracked_pilot import Shape, TrackedPilot, number, shortage


def pending_reason(
    record: UnitRecord,
    open_predecessors: int,
    pilots: Sequence[TrackedPilot],
    data: Sequence[AwaitedData] = (),
) -> str:
    """Return what a unit waits for; empty when it is not pending.

    Args:
        record: The unit's progress.
        open_predecessors: How many entries hold it back: predecessors that have not ended, and data that is missing.
        pilots: Those that may take it, ended ones too.
        data: The data units, and copies of them, that it needs.
    """
    if record.letter == UnitLetter.WAITING:
        waits = waits_for(open_predecessors, data)
        return waits or _lack_of_pilots(Shape.of(record.queue), pilots) or "about to be placed"
    if record.letter == UnitLetter.CLAIMED:
        return f"about to start on pilot {record.pilot}"
    if record.letter != UnitLetter.READY:
        return ""
    return _lack_of_pilots(Shape.of(record.queue), pilots) or "queued: the pilots that fit are busy"


def _lack_of_pilots(shape: Shape, pilots: Sequence[TrackedPilot]) -> str:
    live = [pilot for pilot in pilots if pilot.is_live]
    if not pilots:
        return "no pilot: create one and add its PilotComputeService to the ComputeDataService"
    if not live:
        return f"no pilot: {number(len(pilots), 'pilot')} ended; create another one"
    short = shortage(shape, live)
    if short is not None:
        return short.reason
    fitting = [pilot for pilot in live if pilot.could_run(shape)]
    if all(pilot.state is not State.Running for pilot in fitting):
        return f"queued: pilot {fitting[0].id} is {fitting[0].state}"
    return ""
