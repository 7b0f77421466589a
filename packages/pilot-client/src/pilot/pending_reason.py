"""Why a compute unit is pending. Pure: from its record and the pilots that may take it to one sentence."""

from __future__ import annotations

from collections.abc import Sequence

from pilot_protocol.messages import UnitRecord
from pilot_protocol.states import State, UnitLetter

from .tracker import TrackedPilot


def pending_reason(record: UnitRecord, open_predecessors: int, pilots: Sequence[TrackedPilot]) -> str:
    """Return what a unit waits for; empty when it is not pending.

    Args:
        record: The unit's progress.
        open_predecessors: How many of its predecessors have not ended.
        pilots: Those that may take it, ended ones too.
    """
    if record.letter == UnitLetter.WAITING:
        return f"waits for {_number(open_predecessors, 'predecessor')}"
    if record.letter == UnitLetter.CLAIMED:
        return f"about to start on pilot {record.pilot}"
    if record.letter != UnitLetter.READY:
        return ""
    return _lack_of_pilots(_cores(record.queue), pilots) or "queued: the pilots that fit are busy"


def _lack_of_pilots(cores: int, pilots: Sequence[TrackedPilot]) -> str:
    live = [pilot for pilot in pilots if pilot.is_live]
    if not pilots:
        return "no pilot: create one and add its PilotComputeService to the ComputeDataService"
    if not live:
        return f"no pilot: {_number(len(pilots), 'pilot')} ended; create another one"
    fitting = [pilot for pilot in live if pilot.cores is None or pilot.cores >= cores]
    if not fitting:
        largest = max(pilot.cores or 0 for pilot in live)
        return f"needs {_number(cores, 'core')}, the largest pilot has {largest}"
    if all(pilot.state is not State.Running for pilot in fitting):
        return f"queued: pilot {fitting[0].id} is {fitting[0].state}"
    return ""


def _cores(queue: str) -> int:
    """Return the cores in a queue's name: ``owner/label/cores.block.gpus.memory/priority``."""
    return int(queue.split("/")[2].partition(".")[0])


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
