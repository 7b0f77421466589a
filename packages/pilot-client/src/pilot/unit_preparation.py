"""From a description to what is submitted. Pure.

The invariant: what a description means is decided here and nowhere else in the client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pilot_protocol.compute_descriptions import validate_compute_unit
from pilot_protocol.errors import DescriptionError
from pilot_protocol.keys import label_of, queue_name, shape_of
from pilot_protocol.specs import DEFAULT_MAX_RESTARTS, UnitSpec
from pilot_protocol.unit_ops import NewUnit

from .tracked_pilot import Shape

_NOT_DONE = {
    "input_data": "data units before it starts",
    "output_data": "data units to take its files",
    "file_transfer": "files to be copied",
}


_WISHES = (
    "number_of_processes",
    "threads_per_process",
    "gpus_per_process",
    "memory_mb",
    "spmd_variation",
    "affinity_datacenter_label",
    "affinity_machine_label",
    "priority",
)
"""What decides where a unit waits."""


@dataclass(frozen=True, slots=True)
class PreparedUnit:
    """A unit that was validated and has no id yet.

    Attributes:
        payload: Its normalized description, without the predecessors.
        queue: Where it waits.
        shape: What it needs at least.
        predecessors: Ids of the units that must end before it.
    """

    payload: dict[str, Any]
    queue: str
    shape: Shape
    predecessors: tuple[str, ...]

    def numbered(self, name: str, sealed: bytes) -> NewUnit:
        """Return the unit as it is submitted.

        Args:
            name: Its id.
            sealed: Its sealed description.
        """
        payload = self.payload
        return NewUnit(
            name,
            self.queue,
            sealed,
            payload.get("retries", 0),
            payload.get("max_restarts", DEFAULT_MAX_RESTARTS),
            self.predecessors,
            payload.get("on_dependency_failure") == "run",
        )


def prepare(owner: str, description: Mapping[str, object]) -> PreparedUnit:
    """Validate a description and find the queue of its unit.

    Args:
        owner: The pilot or compute-data service that the unit is submitted to.
        description: As the user gave it.

    Raises:
        DescriptionError: A key is unknown or missing, or a value is not allowed.
    """
    payload = validate_compute_unit(description)
    _refuse_what_is_not_done(payload)
    predecessors: Sequence[str] = payload.pop("depends_on", ())
    wishes = tuple((key, payload[key]) for key in _WISHES if key in payload)
    queue, shape = _place(owner, wishes)
    return PreparedUnit(payload, queue, shape, tuple(predecessors))


def _refuse_what_is_not_done(payload: Mapping[str, Any]) -> None:
    for key, what in _NOT_DONE.items():
        if payload.get(key):
            raise DescriptionError(f"{key} asks for {what}, which this version does not do", key=key)


@lru_cache(maxsize=256)
def _place(owner: str, wishes: tuple[tuple[str, Any], ...]) -> tuple[str, Shape]:
    """Return where a unit waits, and what it needs; most units of a sweep wish for the same."""
    spec = UnitSpec("", **dict(wishes))
    shape = Shape(spec.cores, spec.block, spec.gpus, spec.block_memory_mb)
    label = label_of(spec.affinity_datacenter_label, spec.affinity_machine_label)
    return queue_name(owner, label, shape_of(*shape), spec.priority), shape
