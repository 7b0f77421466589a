"""Descriptions of pilots and of compute units: their keys, and what their values mean together.

How the other end reads what is validated here, ``UnitSpec`` and ``PilotSpec``, is written in
:mod:`pilot_protocol.specs` and offered from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .checks import choice, flag, path, positive_number, share_or_whole, text, text_list, whole_number
from .command_checks import arguments, check_command_size, environment
from .descriptions import Description, Schema, validate
from .errors import DescriptionError
from .free_form_checks import file_transfers, options, tags
from .references import REMOTE_WAYS, input_data, output_data, service_url, unit_ids
from .specs import PLACEMENTS, PilotSpec, UnitSpec

__all__ = [
    "PILOT_SCHEMA",
    "PILOT_SCHEMES",
    "UNIT_SCHEMA",
    "ComputeUnitDescription",
    "PilotComputeDescription",
    "PilotSpec",
    "UnitSpec",
    "validate_compute_unit",
    "validate_pilot_compute",
]

LARGEST_PRIORITY = 1000
"""Each priority in use is a queue of its own in Redis."""

BATCH_SYSTEMS = ("slurm", "pbs", "pbspro", "torque", "xt5torque", "sge", "lsf", "condor", "loadl", "cobalt")
PILOT_SCHEMES = (
    "fork",
    "ssh",
    "gsissh",
    "ec2+ssh",
    *BATCH_SYSTEMS,
    *(f"{system}+{way}" for system in BATCH_SYSTEMS for way in REMOTE_WAYS),
)
"""Schemes of a pilot's ``service_url``."""

_CREDENTIALS = (
    "name a profile of ~/.aws/credentials or set AWS_PROFILE; credentials are never stored in Redis"
)

UNIT_SCHEMA = Schema(
    name="ComputeUnitDescription",
    required={"executable": "the program to run"},
    checks={
        "executable": path,
        "arguments": arguments,
        "environment": environment,
        "working_directory": path,
        "input": path,
        "output": path,
        "error": path,
        "number_of_processes": whole_number(1),
        "threads_per_process": whole_number(1),
        "gpus_per_process": share_or_whole,
        "memory_mb": whole_number(0),
        "spmd_variation": choice("single", "mpi"),
        "placement": choice(*PLACEMENTS),
        "walltime": positive_number,
        "name": text,
        "tags": tags,
        "priority": whole_number(-LARGEST_PRIORITY, LARGEST_PRIORITY),
        "depends_on": unit_ids,
        "on_dependency_failure": choice("cancel", "run"),
        "retries": whole_number(0),
        "max_restarts": whole_number(0),
        "input_data": input_data,
        "output_data": output_data,
        "keep_failed_outputs": flag,
        "file_transfer": file_transfers,
        "affinity_datacenter_label": text,
        "affinity_machine_label": text,
        "expand_arguments": flag,
        "pre_exec": text_list,
        "post_exec": text_list,
    },
    renamed={
        "total_core_count": "number_of_processes",
        "total_cpu_count": "number_of_processes",
        "wall_time_limit": "walltime",
    },
)

PILOT_SCHEMA = Schema(
    name="PilotComputeDescription",
    required={"service_url": "the URL of the resource, like fork://localhost or slurm+ssh://login.cluster"},
    checks={
        "service_url": service_url(PILOT_SCHEMES),
        "number_of_processes": whole_number(1),
        "number_of_nodes": whole_number(1),
        "processes_per_node": whole_number(1),
        "gpus_per_node": whole_number(0),
        "memory_per_node_mb": whole_number(0),
        "queue": text,
        "project": text,
        "walltime": positive_number,
        "working_directory": path,
        "candidate_hosts": text_list,
        "spmd_variation": text,
        "file_transfer": file_transfers,
        "affinity_datacenter_label": text,
        "affinity_machine_label": text,
        "environment": environment,
        "setup": text_list,
        "python": path,
        "tunnel": flag,
        "agent_options": options,
        "vm_id": text,
        "vm_type": text,
        "vm_location": text,
        "vm_ssh_username": text,
        "vm_ssh_keyname": text,
        "vm_ssh_keyfile": path,
        "region": text,
    },
    renamed={
        "wall_time_limit": "walltime",
        "processes_per_host": "processes_per_node",
        "allocation": "project",
    },
    ignored={
        "input": "an agent reads no input",
        "output": "the agent's log lies in the pilot's working directory",
        "error": "the agent's log lies in the pilot's working directory",
        "number_executor_threads": "the agent starts as many executors as it can use, see 'agent_options'",
    },
    refused={"access_key_id": _CREDENTIALS, "secret_access_key": _CREDENTIALS},
)


class ComputeUnitDescription(Description):
    """What a compute unit runs and what it needs; each key is an attribute, too."""

    __slots__ = ()
    schema = UNIT_SCHEMA


class PilotComputeDescription(Description):
    """What resource a pilot asks for, and where; each key is an attribute, too."""

    __slots__ = ()
    schema = PILOT_SCHEMA


def validate_compute_unit(description: Mapping[str, object]) -> dict[str, Any]:
    """Return the normalized payload of a compute unit's description.

    Only the keys that were given are in it. ``walltime`` is in minutes, ``depends_on`` has become ids, ``input_data``
    and ``output_data`` have become lists of patterns by the data unit's URL.

    Raises:
        DescriptionError: A key is unknown or missing, a value is not allowed, or the command is too long for Linux.
    """
    payload = validate(UNIT_SCHEMA, description)
    _check_share(payload)
    check_command_size(payload.get("arguments", ()), payload.get("environment", {}))
    return payload


def _check_share(payload: Mapping[str, Any]) -> None:
    share, count = payload.get("gpus_per_process", 0), payload.get("number_of_processes", 1)
    if 0 < share < 1 < count and payload.get("spmd_variation") != "mpi":
        raise DescriptionError(
            f"gpus_per_process is {share:g} for {count} processes of one program; a share of a GPU needs one process, or "
            "spmd_variation mpi",
            key="gpus_per_process",
            value=share,
        )


def validate_pilot_compute(description: Mapping[str, object]) -> dict[str, Any]:
    """Return the normalized payload of a pilot's description; ``walltime`` is in minutes.

    Raises:
        DescriptionError: A key is unknown or missing, a value is not allowed, or its sizes contradict one another.
    """
    payload = validate(PILOT_SCHEMA, description)
    cores, nodes = payload.get("number_of_processes"), payload.get("number_of_nodes")
    if cores is None and nodes is None:
        raise DescriptionError(
            "PilotComputeDescription has neither 'number_of_processes' nor 'number_of_nodes'; give one of them",
            key="number_of_processes",
        )
    per_node = payload.get("processes_per_node")
    if cores is not None and nodes is not None and per_node is not None and cores > nodes * per_node:
        raise DescriptionError(
            f"number_of_processes is {cores}; {nodes} nodes with {per_node} processes each have {nodes * per_node}",
            key="number_of_processes",
            value=cores,
        )
    return payload
