"""States are plain strings, and every pair of them is allowed or refused as the tables say."""

from __future__ import annotations

import json
from itertools import product

import pytest

from pilot_protocol.errors import StateError
from pilot_protocol.states import (
    COMPUTE_UNIT_MOVES,
    DATA_UNIT_MOVES,
    FINAL,
    FINAL_LETTERS,
    PILOT_DATA_MOVES,
    PILOT_MOVES,
    STATE_OF_LETTER,
    Moves,
    State,
    UnitLetter,
    is_final,
    move,
)

# One row per state that is left, one letter per state that may follow.
LETTERS = {
    "U": State.Unknown,
    "N": State.New,
    "P": State.Pending,
    "S": State.Staging,
    "R": State.Running,
    "D": State.Done,
    "C": State.Canceled,
    "F": State.Failed,
}
EXPECTED = {
    "pilot": (PILOT_MOVES, {"U": "NPRDCF", "N": "PRDCF", "P": "RDCF", "R": "DCF"}),
    "compute unit": (
        COMPUTE_UNIT_MOVES,
        {"U": "NPSRDCF", "N": "PSRDCF", "P": "SRDCF", "S": "PRDCF", "R": "PSDCF"},
    ),
    "data unit": (DATA_UNIT_MOVES, {"U": "NPRDCF", "N": "PRDCF", "P": "RDCF", "R": "PDCF"}),
    "Pilot-Data": (PILOT_DATA_MOVES, {"U": "NRDCF", "N": "RDCF", "R": "DCF"}),
}
TABLES = [pytest.param(table, rows, id=name) for name, (table, rows) in EXPECTED.items()]
BIGJOB = ["Unknown", "New", "Pending", "Running", "Done", "Canceled", "Failed"]


@pytest.mark.parametrize("name", BIGJOB)
def test_states_are_the_strings_of_bigjob(name: str) -> None:
    state = State[name]
    assert state == name
    assert name == state
    assert {name: 1}[state] == 1


@pytest.mark.parametrize("state", State)
def test_a_state_prints_and_travels_as_its_plain_string(state: State) -> None:
    assert str(state) == f"{state}" == "%s" % state == state.value  # noqa: UP031 - scripts of the time print so
    assert f"{state:>9}|" == f"{state.value:>9}|"
    assert json.dumps({state: state}) == f'{{"{state.value}": "{state.value}"}}'
    assert State(str(state)) is state


@pytest.mark.parametrize(("table", "rows"), TABLES)
def test_every_pair_of_states(table: Moves, rows: dict[str, str]) -> None:
    for old, new in product(LETTERS, LETTERS):
        stays = old == new and LETTERS[old] in table
        if stays or new in rows.get(old, ""):
            assert move(table, LETTERS[old], LETTERS[new]) is LETTERS[new]
        else:
            with pytest.raises(StateError):
                move(table, LETTERS[old], LETTERS[new])


@pytest.mark.parametrize(("table", "rows"), TABLES)
def test_final_states_are_left_by_no_move_and_reached_from_everywhere(
    table: Moves, rows: dict[str, str]
) -> None:
    assert set(table) == {LETTERS[letter] for letter in rows} | FINAL
    for state, allowed in table.items():
        assert (not allowed) == is_final(state)
        assert is_final(state) or allowed >= FINAL


def test_refused_moves_say_what_is_allowed() -> None:
    with pytest.raises(StateError, match=r"from Running to Pending: allowed are Done, Canceled, Failed$"):
        move(PILOT_MOVES, State.Running, State.Pending)
    with pytest.raises(StateError, match="from Done to Running: it is final"):
        move(COMPUTE_UNIT_MOVES, State.Done, State.Running)
    with pytest.raises(StateError, match="never Staging"):
        move(PILOT_MOVES, State.Staging, State.Running)


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PILOT_MOVES[State.Done] = FINAL  # type: ignore[index]


def test_every_letter_of_a_record_has_a_state() -> None:
    letters = {value for name, value in vars(UnitLetter).items() if name.isupper()}
    assert letters == set(STATE_OF_LETTER) == set("WNASRDFC")
    assert {letter for letter, state in STATE_OF_LETTER.items() if is_final(state)} == FINAL_LETTERS
    assert {state for letter, state in STATE_OF_LETTER.items() if letter in "WNA"} == {State.Pending}
