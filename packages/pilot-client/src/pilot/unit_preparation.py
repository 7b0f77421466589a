"""From a description to what is submitted. Pure.

The invariant: what a description means is decided here and nowhere else in the client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pilot_protocol.compute_descriptions import validate_compute_unit
from pilot_protocol.keys import label_of, queue_name, shape_of
from pilot_protocol.specs import DEFAULT_MAX_RESTARTS, UnitSpec
from pilot_protocol.unit_ops import NewUnit

from .data_cycles import Step
from .tracked_pilot import Shape
from .unit_data import DATA_KEYS, resolve_data_units

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
        step: What it waits for, and what waits for it.
    """

    payload: dict[str, Any]
    queue: str
    shape: Shape
    step: Step

    def numbered(self, name: str, sealed: bytes) -> NewUnit:
        """Return the unit as it is submitted.

        Args:
            name: Its id.
            sealed: Its sealed description.
        """
        payload, step = self.payload, self.step
        return NewUnit(
            name,
            self.queue,
            sealed,
            payload.get("retries", 0),
            payload.get("max_restarts", DEFAULT_MAX_RESTARTS),
            step.predecessors,
            payload.get("on_dependency_failure") == "run",
            step.inputs,
            step.outputs,
        )


def prepare(session: str, owner: str, description: Mapping[str, object]) -> PreparedUnit:
    """Validate a description and find the queue of its unit.

    Args:
        session: The id of the session that the unit is submitted in.
        owner: The pilot or compute-data service that the unit is submitted to.
        description: As the user gave it.

    Raises:
        DescriptionError: A key is unknown or missing, a value is not allowed, or a data unit is of another session.
    """
    payload = validate_compute_unit(description)
    resolve_data_units(payload, session)
    predecessors: Sequence[str] = payload.pop("depends_on", ())
    wishes = tuple((key, payload[key]) for key in _WISHES if key in payload)
    queue, shape = _place(owner, wishes)
    inputs, outputs = (tuple(payload.get(key, ())) for key in DATA_KEYS)
    name = payload.get("name") or payload["executable"]
    return PreparedUnit(payload, queue, shape, Step(name, inputs, outputs, tuple(predecessors)))


@lru_cache(maxsize=256)
def _place(owner: str, wishes: tuple[tuple[str, Any], ...]) -> tuple[str, Shape]:
    """Return where a unit waits, and what it needs; most units of a sweep wish for the same."""
    spec = UnitSpec("", **dict(wishes))
    shape = Shape(spec.cores, spec.block, spec.gpus, spec.block_memory_mb)
    label = label_of(spec.affinity_datacenter_label, spec.affinity_machine_label)
    return queue_name(owner, label, shape_of(*shape), spec.priority), shape
