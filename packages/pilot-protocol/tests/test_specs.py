"""What an agent reads in a payload: every key with its default, and nothing that has the wrong shape."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from pilot_protocol.compute_descriptions import (
    PILOT_SCHEMA,
    UNIT_SCHEMA,
    PilotSpec,
    UnitSpec,
    validate_compute_unit,
    validate_pilot_compute,
)
from pilot_protocol.errors import ProtocolError

PROTOCOL_ARGUMENTS = {"depends_on"}
"""Keys that are no part of the payload."""

UNIT: dict[str, Any] = {
    "executable": "/bin/cat",
    "arguments": ["a", "b"],
    "environment": {"A": "1"},
    "working_directory": "work",
    "input": "in",
    "output": "out",
    "error": "err",
    "number_of_processes": 4,
    "threads_per_process": 2,
    "gpus_per_process": 1,
    "memory_mb": 100,
    "spmd_variation": "mpi",
    "placement": "spread",
    "walltime": 1.5,
    "name": "n",
    "tags": {"a": "b"},
    "priority": -3,
    "on_dependency_failure": "run",
    "retries": 1,
    "max_restarts": 0,
    "input_data": {"du-1": ["*"]},
    "output_data": {"du-2": ["std*"]},
    "keep_failed_outputs": True,
    "file_transfer": ["a > b"],
    "affinity_datacenter_label": "d",
    "affinity_machine_label": "m",
    "expand_arguments": False,
    "pre_exec": ["true"],
    "post_exec": ["false"],
}
PILOT: dict[str, Any] = {
    "service_url": "slurm://localhost",
    "number_of_processes": 4,
    "number_of_nodes": 2,
    "processes_per_node": 2,
    "gpus_per_node": 1,
    "memory_per_node_mb": 100,
    "queue": "q",
    "project": "p",
    "walltime": 10.0,
    "working_directory": "/tmp",
    "candidate_hosts": ["a"],
    "spmd_variation": "12way",
    "file_transfer": ["a > b"],
    "affinity_datacenter_label": "d",
    "affinity_machine_label": "m",
    "environment": {"A": "1"},
    "setup": ["module load x"],
    "python": "python3",
    "tunnel": True,
    "agent_options": {"lease_s": 10, "pin": True},
    "vm_id": "i",
    "vm_type": "t",
    "vm_location": "l",
    "vm_ssh_username": "u",
    "vm_ssh_keyname": "n",
    "vm_ssh_keyfile": "f",
    "region": "r",
}


def test_every_key_of_a_description_is_a_field() -> None:
    assert (
        set(UNIT)
        == {field.name for field in fields(UnitSpec)}
        == set(UNIT_SCHEMA.checks) - PROTOCOL_ARGUMENTS
    )
    assert set(PILOT) == {field.name for field in fields(PilotSpec)} == set(PILOT_SCHEMA.checks)


def test_what_was_described_is_what_is_read() -> None:
    unit = UnitSpec.from_payload(json.loads(json.dumps(validate_compute_unit(UNIT))))
    assert vars(unit) == UNIT
    pilot = PilotSpec.from_payload(json.loads(json.dumps(validate_pilot_compute(PILOT))))
    assert vars(pilot) == PILOT


def test_a_unit_that_says_little() -> None:
    unit = UnitSpec.from_payload({"executable": "/bin/date"})
    assert (unit.cores, unit.block, unit.gpus, unit.memory_mb) == (1, 1, 0, 0)
    assert (unit.arguments, unit.environment, unit.output) == ((), {}, "")
    assert (unit.walltime_s, unit.max_restarts, unit.retries) == (None, 3, 0)
    assert unit.expand_arguments
    assert not unit.is_mpi


def test_a_pilot_that_says_little() -> None:
    pilot = PilotSpec.from_payload({"service_url": "fork://localhost", "number_of_processes": 2})
    assert (pilot.cores, pilot.walltime_s, pilot.working_directory) == (2, 3600.0, "~/agent")


def test_sizes_of_a_unit() -> None:
    sizes = {
        "executable": "x",
        "number_of_processes": 4,
        "threads_per_process": 2,
        "gpus_per_process": 3,
        "walltime": 2,
    }
    single = UnitSpec.from_payload(sizes)
    assert (single.cores, single.block, single.gpus, single.walltime_s) == (8, 8, 12, 120)
    mpi = UnitSpec.from_payload({**sizes, "spmd_variation": "mpi"})
    assert (mpi.cores, mpi.block, mpi.is_mpi, mpi.ranks, single.ranks) == (8, 2, True, 4, 1)


def test_memory_is_the_whole_units_and_shared_by_its_ranks() -> None:
    sizes = {"executable": "x", "number_of_processes": 3, "memory_mb": 100}
    assert UnitSpec.from_payload(sizes).block_memory_mb == 100
    assert UnitSpec.from_payload({**sizes, "spmd_variation": "mpi"}).block_memory_mb == 34


@pytest.mark.parametrize(
    ("share", "thousandths", "gpus"),
    [(0.5, 500, 1), (1 / 3, 333, 1), (0.29, 290, 1), (0.001, 1, 1), (2, 2000, 2)],
)
def test_gpus_may_be_shared(share: float, thousandths: int, gpus: int) -> None:
    unit = UnitSpec.from_payload(validate_compute_unit({"executable": "x", "gpus_per_process": share}))
    assert (unit.gpu_thousandths, unit.gpus) == (thousandths, gpus)


def test_ranks_have_shares_each() -> None:
    sizes = {"executable": "x", "number_of_processes": 3, "gpus_per_process": 0.5, "spmd_variation": "mpi"}
    unit = UnitSpec.from_payload(validate_compute_unit(sizes))
    assert (unit.gpu_thousandths, unit.gpus) == (1500, 2)


@pytest.mark.parametrize(
    ("keys", "cores"),
    [
        ({"number_of_processes": 3, "number_of_nodes": 2, "processes_per_node": 2}, 3),
        ({"number_of_nodes": 2, "processes_per_node": 8}, 16),
        ({"number_of_nodes": 2}, None),
        ({}, None),
    ],
)
def test_cores_of_a_pilot(keys: dict[str, int], cores: int | None) -> None:
    assert PilotSpec.from_payload({"service_url": "slurm://localhost", **keys}).cores == cores


def test_keys_of_a_later_version_are_ignored() -> None:
    later = {"executable": "x", "colour": "red", "depends_on": ["cu-a-1"]}
    assert UnitSpec.from_payload(later) == UnitSpec("x")


WRONG = [None, 3.5, {"a": 1}, ["a", 1], -5000, object()]
RIGHT: dict[str, list[object]] = {"agent_options": [{"a": 1}], "priority": [-5000], "walltime": [3.5]}


@pytest.mark.parametrize(
    ("read", "payload"),
    [(UnitSpec.from_payload, UNIT), (PilotSpec.from_payload, PILOT)],
    ids=["unit", "pilot"],
)
def test_other_shapes_are_refused_for_every_key(read: Any, payload: dict[str, Any]) -> None:
    for key in payload:
        for value in WRONG:
            if value in RIGHT.get(key, []):
                continue
            with pytest.raises(ProtocolError, match=f"cannot have {key} = "):
                read({**payload, key: value})


def test_what_is_required_must_be_there() -> None:
    with pytest.raises(ProtocolError, match="no executable"):
        UnitSpec.from_payload({"arguments": []})
    with pytest.raises(ProtocolError, match="no service_url"):
        PilotSpec.from_payload({"number_of_processes": 1})


def test_specs_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        UnitSpec("x").executable = "y"  # type: ignore[misc]
