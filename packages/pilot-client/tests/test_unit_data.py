"""Data units of a compute unit are known by id and by URL, and are of its session."""

from __future__ import annotations

from typing import Any

import pytest

from pilot.unit_data import resolve_data_units
from pilot_protocol.errors import DescriptionError

SESSION, OTHER = "s-aaaaaaaaaaaaaaaa", "s-bbbbbbbbbbbbbbbb"
A, B = "du-aaaaaaaaaaaa", "du-bbbbbbbbbbbb"


def url(name: str, session: str = SESSION) -> str:
    return f"redis://localhost:6379/0?session={session}&du={name}"


def resolved(**keys: Any) -> dict[str, Any]:
    resolve_data_units(keys, SESSION)
    return keys


def refusal(**keys: Any) -> str:
    with pytest.raises(DescriptionError) as refused:
        resolve_data_units(keys, SESSION)
    return str(refused.value)


def test_urls_become_ids() -> None:
    assert resolved(input_data={url(A): ["*"], B: ["x"]}) == {"input_data": {A: ["*"], B: ["x"]}}
    assert resolved(output_data={url(A): ["std*"]}) == {"output_data": {A: ["std*"]}}
    assert resolved(executable="a") == {"executable": "a"}


def test_a_data_unit_that_is_named_twice_is_named_once() -> None:
    assert resolved(input_data={url(A): ["a", "b"], A: ["b", "c"]}) == {"input_data": {A: ["a", "b", "c"]}}


def test_one_of_another_session_is_refused() -> None:
    message = refusal(output_data={url(A, OTHER): ["*"]})
    assert A in message
    assert OTHER in message
    assert "same coordination URL" in message


def test_one_that_only_a_process_knows_is_refused() -> None:
    assert "only the process that made it knows" in refusal(input_data={f"local:///{A}": ["*"]})


@pytest.mark.parametrize(
    "text", ["du-1", "nonsense", "pd-aaaaaaaa", url(A).replace("du=", "cds="), "redis://h", "/a/path"]
)
def test_what_names_no_data_unit_is_refused(text: str) -> None:
    assert "a DataUnit, its url or its id is allowed" in refusal(input_data={text: ["*"]})


def test_a_password_in_what_is_refused_is_not_shown() -> None:
    assert "secret" not in refusal(input_data={"redis://:secret@host/0?x=1": ["*"]})


def test_a_unit_that_reads_what_it_writes_is_refused() -> None:
    assert f"both name data unit {A}" in refusal(input_data={A: ["*"]}, output_data={url(A): ["*"]})
