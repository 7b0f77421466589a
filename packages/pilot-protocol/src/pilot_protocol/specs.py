"""Descriptions as an agent reads them: every key with its default, and what follows from several keys.

A payload comes from :func:`pilot_protocol.compute_descriptions.validate_compute_unit` or ``validate_pilot_compute`` of
the same or another minor version: keys that are not known here are ignored, absent ones have their default. Only the
shapes are checked again, so that no later code meets a number where it expects text. Values are shared with the payload
and must not be changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .checks import shown
from .errors import ProtocolError

DEFAULT_PILOT_WALLTIME = 60.0
DEFAULT_PILOT_FOLDER = "~/agent"
DEFAULT_MAX_RESTARTS = 3

PLACEMENTS = ("pack", "spread", "whole_nodes")
"""Where the processes of a unit go: as few nodes as possible, as many as possible, or nodes that it has alone."""

GPU_PARTS = 1000
"""A GPU may be shared down to its thousandth part."""


@dataclass(frozen=True)
class UnitSpec:
    """One compute unit. Empty text means "not given"; where a file is not named, the output is captured."""

    executable: str
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str = ""
    input: str = ""
    output: str = ""
    error: str = ""
    number_of_processes: int = 1
    threads_per_process: int = 1
    gpus_per_process: float = 0
    """Whole, or a share of one GPU."""
    memory_mb: int = 0
    """Of the whole unit; the ranks of an MPI unit have equal shares."""
    spmd_variation: str = "single"
    placement: str = "pack"
    """One of :data:`PLACEMENTS`."""
    walltime: float | None = None
    """Minutes; None is no limit but the pilot's."""
    name: str = ""
    tags: Sequence[str] | Mapping[str, str] = ()
    priority: int = 0
    on_dependency_failure: str = "cancel"
    retries: int = 0
    max_restarts: int = DEFAULT_MAX_RESTARTS
    input_data: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Patterns of file names by the data unit's id."""
    output_data: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keep_failed_outputs: bool = False
    """Whether what it leaves is kept although it failed."""
    file_transfer: Sequence[str] = ()
    affinity_datacenter_label: str = ""
    affinity_machine_label: str = ""
    expand_arguments: bool = True
    pre_exec: Sequence[str] = ()
    post_exec: Sequence[str] = ()

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> UnitSpec:
        """Read a normalized description.

        Raises:
            ProtocolError: It has no executable, or a value has another shape than its key asks for.
        """
        return cls(**_known(payload, _UNIT_SHAPES, required="executable"))

    @property
    def is_mpi(self) -> bool:
        """Whether its processes are the ranks of one MPI program."""
        return self.spmd_variation == "mpi"

    @property
    def cores(self) -> int:
        """Cores of the whole unit."""
        return self.number_of_processes * self.threads_per_process

    @property
    def block(self) -> int:
        """Cores that must be on one node: one rank's of an MPI unit, all of any other."""
        return self.threads_per_process if self.is_mpi else self.cores

    @property
    def ranks(self) -> int:
        """Processes that may be on different nodes."""
        return self.number_of_processes if self.is_mpi else 1

    @property
    def gpus(self) -> int:
        """GPUs of the whole unit, rounded up."""
        return -(-self.gpu_thousandths // GPU_PARTS)

    @property
    def gpu_thousandths(self) -> int:
        """GPUs of the whole unit; processes that share a GPU have as many thousandths of it."""
        return self.number_of_processes * int(self.gpus_per_process * GPU_PARTS + 1e-6)

    @property
    def block_memory_mb(self) -> int:
        """Memory that must be on one node: one rank's of an MPI unit, all of any other."""
        return -(-self.memory_mb // self.ranks)

    @property
    def walltime_s(self) -> float | None:
        """The walltime in seconds, None without one."""
        return None if self.walltime is None else self.walltime * 60


@dataclass(frozen=True)
class PilotSpec:
    """One pilot. Empty text means "not given"."""

    service_url: str
    number_of_processes: int | None = None
    number_of_nodes: int | None = None
    processes_per_node: int | None = None
    gpus_per_node: int = 0
    memory_per_node_mb: int = 0
    queue: str = ""
    project: str = ""
    walltime: float = DEFAULT_PILOT_WALLTIME
    """Minutes."""
    working_directory: str = DEFAULT_PILOT_FOLDER
    candidate_hosts: Sequence[str] = ()
    spmd_variation: str = ""
    file_transfer: Sequence[str] = ()
    affinity_datacenter_label: str = ""
    affinity_machine_label: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    setup: Sequence[str] = ()
    """Shell lines that run before the agent."""
    python: str = ""
    tunnel: bool = False
    agent_options: Mapping[str, str | float] = field(default_factory=dict)
    vm_id: str = ""
    vm_type: str = ""
    vm_location: str = ""
    vm_ssh_username: str = ""
    vm_ssh_keyname: str = ""
    vm_ssh_keyfile: str = ""
    region: str = ""

    @classmethod
    def from_payload(cls, payload: Mapping[str, Any]) -> PilotSpec:
        """Read a normalized description.

        Raises:
            ProtocolError: It has no service URL, or a value has another shape than its key asks for.
        """
        return cls(**_known(payload, _PILOT_SHAPES, required="service_url"))

    @property
    def cores(self) -> int | None:
        """Cores that are asked for; None for whole nodes, whose size the batch system knows."""
        if self.number_of_processes is not None:
            return self.number_of_processes
        if self.number_of_nodes is None or self.processes_per_node is None:
            return None
        return self.number_of_nodes * self.processes_per_node

    @property
    def walltime_s(self) -> float:
        """The walltime in seconds."""
        return self.walltime * 60


Shape = Callable[[Any], bool]


def _known(payload: Mapping[str, Any], shapes: Mapping[str, Shape], required: str) -> dict[str, Any]:
    """Return the keys of a payload that this version knows."""
    known = {}
    for key, value in payload.items():
        fits = shapes.get(key)
        if fits is None:
            continue
        if not fits(value):
            raise ProtocolError(
                f"a description cannot have {key} = {shown(value)}; it was not made by this system"
            )
        known[key] = value
    if required not in known:
        raise ProtocolError(f"a description has no {required}; it was not made by this system")
    return known


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return type(value) is int


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_amount(value: Any) -> bool:
    return _is_count(value) or (type(value) is float and 0 < value < 1)


def _is_size(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_duration(value: Any) -> bool:
    return isinstance(value, (int, float)) and value > 0


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_variables(value: Any) -> bool:
    return isinstance(value, dict) and _are_texts([*value, *value.values()])


def _are_patterns(value: Any) -> bool:
    return isinstance(value, dict) and _are_texts(list(value)) and all(map(_are_texts, value.values()))


def _are_tags(value: Any) -> bool:
    return _are_texts(value) or _are_variables(value)


def _are_options(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(item, (str, bool, int, float)) for item in value.values()
    )


_UNIT_SHAPES: Mapping[str, Shape] = {
    **dict.fromkeys(("executable", "working_directory", "input", "output", "error", "name"), _is_text),
    **dict.fromkeys(("affinity_datacenter_label", "affinity_machine_label"), _is_text),
    **dict.fromkeys(("spmd_variation", "placement", "on_dependency_failure"), _is_text),
    **dict.fromkeys(("number_of_processes", "threads_per_process"), _is_size),
    **dict.fromkeys(("memory_mb", "retries", "max_restarts"), _is_count),
    "gpus_per_process": _is_amount,
    **dict.fromkeys(("arguments", "file_transfer", "pre_exec", "post_exec"), _are_texts),
    **dict.fromkeys(("input_data", "output_data"), _are_patterns),
    "environment": _are_variables,
    "walltime": _is_duration,
    "priority": _is_whole,
    "tags": _are_tags,
    **dict.fromkeys(("expand_arguments", "keep_failed_outputs"), _is_flag),
}

_PILOT_SHAPES: Mapping[str, Shape] = {
    **dict.fromkeys(("service_url", "queue", "project", "working_directory", "python", "region"), _is_text),
    **dict.fromkeys(("affinity_datacenter_label", "affinity_machine_label", "spmd_variation"), _is_text),
    **dict.fromkeys(("vm_id", "vm_type", "vm_location"), _is_text),
    **dict.fromkeys(("vm_ssh_username", "vm_ssh_keyname", "vm_ssh_keyfile"), _is_text),
    **dict.fromkeys(("number_of_processes", "number_of_nodes", "processes_per_node"), _is_size),
    **dict.fromkeys(("gpus_per_node", "memory_per_node_mb"), _is_count),
    **dict.fromkeys(("candidate_hosts", "file_transfer", "setup"), _are_texts),
    "walltime": _is_duration,
    "environment": _are_variables,
    "tunnel": _is_flag,
    "agent_options": _are_options,
}
