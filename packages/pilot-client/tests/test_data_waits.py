"""What a unit that reads data waits for, said in words, and whether it can come."""

from __future__ import annotations

import pytest

from pilot.data_waits import AwaitedData, waits_for
from pilot_protocol.data_records import ReplicaRecord
from pilot_protocol.states import State


def data(
    letters: str = "", state: State = State.Pending, producers: int = 0, name: str = "du-a"
) -> AwaitedData:
    replicas = tuple(ReplicaRecord(name, f"pd-{at}", letter) for at, letter in enumerate(letters))
    return AwaitedData(name, state, producers, replicas)


@pytest.mark.parametrize(
    ("unit", "is_there", "is_nowhere", "reason"),
    [
        (data("D", State.Running), True, False, ""),
        (data("DR", State.Running), True, False, ""),
        (
            data("D", producers=1),
            False,
            False,
            "data unit du-a, to which 1 compute unit is still to add files",
        ),
        (data(producers=3), False, False, "data unit du-a, to which 3 compute units are still to add files"),
        (data("R"), False, False, "data unit du-a, which is on its way to pd-0"),
        (
            data("FP"),
            False,
            False,
            "data unit du-a, which is to come to pd-1, and nobody has begun to copy it (pilot-data serve does)",
        ),
        (
            data("RP"),
            False,
            False,
            "data unit du-a, which is on its way to pd-0 and which is to come to pd-1, and nobody has begun to copy it (pilot-data serve does)",
        ),
        (data(), False, True, "data unit du-a, which is nowhere, and no compute unit is to add files to it"),
        (data("F", State.Failed), False, True, "data unit du-a, which is Failed"),
        (data("D", State.Canceled), False, True, "data unit du-a, which is Canceled"),
    ],
)
def test_one_data_unit(unit: AwaitedData, is_there: bool, is_nowhere: bool, reason: str) -> None:
    assert (unit.is_there, unit.is_nowhere, unit.reason) == (is_there, is_nowhere, reason)


@pytest.mark.parametrize(
    ("open_predecessors", "units", "words"),
    [
        (0, [], ""),
        (0, [data("D")], ""),
        (2, [], "waits for 2 predecessors"),
        (
            2,
            [data("R"), data("D")],
            "waits for 1 predecessor and for data unit du-a, which is on its way to pd-0",
        ),
        (
            2,
            [data("R"), data(producers=1, name="du-b")],
            (
                "waits for data unit du-a, which is on its way to pd-0 and for data unit du-b, to which 1 compute unit is still "
                "to add files"
            ),
        ),
        (1, [data("DR"), data("DR").at("pd-1")], "waits for data unit du-a, which is on its way to pd-1"),
    ],
)
def test_all_that_a_unit_waits_for(open_predecessors: int, units: list[AwaitedData], words: str) -> None:
    assert waits_for(open_predecessors, units) == words
