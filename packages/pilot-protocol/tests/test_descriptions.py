"""A description is a dict whose keys are attributes, and an unknown key is refused where it is written."""

from __future__ import annotations

import copy
import pickle

import pytest

from pilot_protocol.compute_descriptions import (
    PILOT_SCHEMA,
    UNIT_SCHEMA,
    ComputeUnitDescription,
    PilotComputeDescription,
    validate_compute_unit,
)
from pilot_protocol.data_descriptions import (
    DATA_UNIT_SCHEMA,
    PILOT_DATA_SCHEMA,
    DataUnitDescription,
    PilotDataDescription,
)
from pilot_protocol.descriptions import Description, Schema
from pilot_protocol.errors import DescriptionError

KINDS = [ComputeUnitDescription, PilotComputeDescription, PilotDataDescription, DataUnitDescription]
SCHEMAS = [UNIT_SCHEMA, PILOT_SCHEMA, PILOT_DATA_SCHEMA, DATA_UNIT_SCHEMA]


def test_the_three_ways_of_bigjob_give_the_same() -> None:
    assigned = ComputeUnitDescription()
    assigned.executable = "/bin/date"
    assigned["output"] = "date.txt"
    expected = {"executable": "/bin/date", "output": "date.txt"}
    assert assigned == ComputeUnitDescription(expected) == expected
    assert ComputeUnitDescription(executable="/bin/date", output="date.txt") == expected
    assert ComputeUnitDescription([("executable", "/bin/date")], output="date.txt") == expected


def test_attributes_read_keys_and_unset_ones_read_none() -> None:
    description = ComputeUnitDescription({"executable": "/bin/date"})
    assert description.executable == "/bin/date"
    assert description.arguments is None
    assert "arguments" not in description
    del description.executable
    del description.executable
    assert description == {}


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_keys_are_refused_however_they_are_written(kind: type[Description]) -> None:
    description = kind()
    with pytest.raises(DescriptionError):
        kind({"colour": "red"})
    with pytest.raises(DescriptionError):
        kind(colour="red")
    with pytest.raises(DescriptionError):
        description.colour = "red"
    with pytest.raises(DescriptionError):
        description["colour"] = "red"
    with pytest.raises(DescriptionError):
        description.update(colour="red")
    with pytest.raises(DescriptionError):
        description.setdefault("colour", "red")
    with pytest.raises(DescriptionError):
        description |= {"colour": "red"}
    with pytest.raises(DescriptionError):
        del description.colour
    assert description == {}


def test_the_nearest_known_key_is_named() -> None:
    with pytest.raises(DescriptionError, match="did you mean 'arguments'") as caught:
        ComputeUnitDescription(argument=["a"])
    assert caught.value.key == "argument"
    with pytest.raises(DescriptionError, match="did you mean 'executable'"):
        validate_compute_unit({"executabel": "/bin/date"})
    with pytest.raises(DescriptionError, match="known are file_urls, "):
        DataUnitDescription(xyz=1)


def test_reading_an_unknown_attribute_is_an_attribute_error_too() -> None:
    description = ComputeUnitDescription()
    assert not hasattr(description, "colour")
    assert not hasattr(description, "__deepcopy__")
    with pytest.raises(AttributeError, match="did you mean 'executable'"):
        _ = description.executible


@pytest.mark.parametrize("key", ["access_key_id", "secret_access_key"])
@pytest.mark.parametrize("kind", [PilotComputeDescription, PilotDataDescription])
def test_credentials_are_refused_and_not_repeated(kind: type[Description], key: str) -> None:
    with pytest.raises(DescriptionError, match="profile") as caught:
        kind({key: "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(vars(caught.value))


def test_copies_are_descriptions_of_the_same_kind() -> None:
    description = ComputeUnitDescription(executable="/bin/echo", arguments=["a"])
    deep = copy.deepcopy(description)
    others = [description.copy(), copy.copy(description), deep, pickle.loads(pickle.dumps(description))]  # noqa: S301
    assert all(type(other) is ComputeUnitDescription and other == description for other in others)
    deep.arguments.append("b")
    assert description.arguments == ["a"]


def test_it_stays_a_dict() -> None:
    description = ComputeUnitDescription(executable="/bin/echo")
    assert description.setdefault("executable", "/bin/date") == "/bin/echo"
    assert description.setdefault("output", "out") == "out"
    description |= {"error": "err"}
    assert {**description} == {"executable": "/bin/echo", "output": "out", "error": "err"}
    assert {"executable", "post_exec", "items"} <= set(dir(description))


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_no_key_hides_a_method_and_old_keys_lead_to_present_ones(schema: Schema) -> None:
    names = [*schema.checks, *schema.renamed, *schema.ignored, *schema.refused]
    assert len(names) == len(set(names))
    assert not set(names) & set(dir(dict))
    assert set(schema.renamed.values()) | set(schema.required) <= set(schema.checks)


@pytest.mark.parametrize("value", [None, "executable", ["executable"], 3])
def test_something_else_than_a_mapping_is_refused(value: object) -> None:
    with pytest.raises(DescriptionError, match="give a dict or a ComputeUnitDescription"):
        validate_compute_unit(value)  # type: ignore[arg-type]
