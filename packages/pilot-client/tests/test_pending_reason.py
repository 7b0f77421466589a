"""Why a unit is pending, said in one sentence."""

from __future__ import annotations

import pytest

from pilot.pending_reason import pending_reason
from pilot.tracker import TrackedPilot
from pilot_protocol.messages import UnitRecord
from pilot_protocol.states import State

QUEUE = "cds-1/,/{}.{}.0.0/0"


def record(letter: str, cores: int = 1, pilot: str = "") -> UnitRecord:
    return UnitRecord(letter, 0, pilot, 0, 3, QUEUE.format(cores, cores), 0)


def pilot(state: State, cores: int | None = 4, name: str = "p-1") -> TrackedPilot:
    return TrackedPilot(name, "pcs-1", cores, state)


RUNNING, STARTING, GONE = pilot(State.Running), pilot(State.Pending), pilot(State.Failed)


GPUS = UnitRecord("N", 0, "", 0, 3, "cds-1/,/2.2.4.100/0", 0)


def equipped(gpus: int, memory_mb: int | None, cores: int = 4) -> TrackedPilot:
    return TrackedPilot("p-1", "pcs-1", cores, State.Running, cores, gpus, memory_mb)


@pytest.mark.parametrize(
    ("unit", "predecessors", "pilots", "reason"),
    [
        (record("W"), 3, [RUNNING], "waits for 3 predecessors"),
        (record("W"), 1, [], "waits for 1 predecessor"),
        (record("A", pilot="p-1"), 0, [RUNNING], "about to start on pilot p-1"),
        (
            record("N"),
            0,
            [],
            "no pilot: create one and add its PilotComputeService to the ComputeDataService",
        ),
        (record("N"), 0, [GONE], "no pilot: 1 pilot ended; create another one"),
        (record("N"), 0, [GONE, pilot(State.Done)], "no pilot: 2 pilots ended; create another one"),
        (record("N"), 0, [STARTING, GONE], "queued: pilot p-1 is Pending"),
        (record("N"), 0, [RUNNING, STARTING], "queued: the pilots that fit are busy"),
        (record("N", 64), 0, [RUNNING, pilot(State.Running, 32)], "needs 64 cores, the largest pilot has 32"),
        (record("N", 64), 0, [RUNNING, pilot(State.Done, 64)], "needs 64 cores, the largest pilot has 4"),
        (record("N", 64), 0, [RUNNING, pilot(State.Pending, None, "p-2")], "queued: pilot p-2 is Pending"),
        (GPUS, 0, [equipped(4, None)], "queued: the pilots that fit are busy"),
        (GPUS, 0, [equipped(2, 100), equipped(0, 100)], "needs 4 GPUs, the largest pilot has 2"),
        (GPUS, 0, [equipped(4, 99)], "needs 100 MB of memory, the largest pilot has 99"),
        (
            GPUS,
            0,
            [equipped(4, 99), equipped(3, 100)],
            "needs 2 cores, 2 cores on one node, 4 GPUs, 100 MB of memory at once, no pilot has all of it",
        ),
        (record("R", pilot="p-1"), 0, [RUNNING], ""),
        (record("D", pilot="p-1"), 0, [RUNNING], ""),
    ],
)
def test_reason(unit: UnitRecord, predecessors: int, pilots: list[TrackedPilot], reason: str) -> None:
    assert pending_reason(unit, predecessors, pilots) == reason
