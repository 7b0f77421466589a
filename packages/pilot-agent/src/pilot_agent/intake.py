"""Leased units on their way in: check the signature, fill in the template, make the order for an executor.

What is forged, cannot be read or was made for a newer agent never starts; it becomes a rejection that the user sees.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Callable

from pilot_protocol import unit_payloads
from pilot_protocol.compute_descriptions import UnitSpec
from pilot_protocol.errors import PilotError, ProtocolError
from pilot_protocol.signing import Seal
from pilot_protocol.unit_ops import LeasedUnit

from .actions import ReportItem
from .events import ClaimedUnit
from .intake_data import data_of

logger = logging.getLogger(__name__)

TEMPLATES_KEPT = 256
"""Templates of sweeps that are remembered; more of them are forgotten all at once, and fetched again when needed."""

FetchTemplates = Callable[[Sequence[str]], Awaitable[Sequence[Any]]]


class Intake:
    """Turns leased units into what the core takes.

    Args:
        seal: The session's.
        pilot: The pilot's id, which units find in ``PILOT_ID``.
        sandbox: The pilot's folder, absolute.
        environment: What units inherit.
    """

    def __init__(
        self, seal: Seal, pilot: str, sandbox: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self._seal = seal
        self._pilot = pilot
        self._sandbox = sandbox
        self._environment = environment or {}
        self._templates: dict[str, dict[str, Any]] = {}

    async def learn_templates(self, units: Sequence[LeasedUnit], fetch: FetchTemplates) -> None:
        """Fetch the templates that ``units`` need and that were not seen before."""
        if len(self._templates) > TEMPLATES_KEPT:
            self._templates.clear()
        needed = (
            {unit_payloads.template_of(unit.description) for unit in units} - self._templates.keys() - {""}
        )
        if not needed:
            return
        digests = sorted(needed)
        for digest, record in zip(digests, await fetch(digests)):
            self._learn(digest, record)

    def _learn(self, digest: str, record: Any) -> None:
        try:
            if record is not None:
                self._templates[digest] = unit_payloads.open_template(self._seal, digest, record)
        except PilotError as error:
            logger.error("template.rejected %s: %s", digest, error, extra={"action": "template.rejected"})

    def accept(self, units: Sequence[LeasedUnit]) -> tuple[list[ClaimedUnit], list[ReportItem]]:
        """Return the units that can run, and what to report of those that cannot."""
        accepted: list[ClaimedUnit] = []
        rejected: list[ReportItem] = []
        for unit in units:
            try:
                accepted.append(self._accept_one(unit))
            except PilotError as error:
                logger.error("unit.rejected %s: %s", unit.id, error, extra={"action": "unit.rejected"})
                rejected.append(ReportItem(unit.id, unit.attempt, "F", "rejected", str(error)))
        return accepted, rejected

    def _accept_one(self, unit: LeasedUnit) -> ClaimedUnit:
        payload = unit_payloads.unpack(self._seal, unit.id, unit.description, self._templates)
        spec = UnitSpec.from_payload(payload)
        if spec.spmd_variation not in ("single", "mpi"):
            raise ProtocolError(
                f"this agent runs units of single and mpi, {unit.id} is one of {spec.spmd_variation!r}"
            )
        order = self._order(unit, payload, spec)
        data = data_of(spec, order, self._sandbox, self._environment)
        if data is not None:
            order["folder"] = data.folder
            order["deliver"] = data.delivery()
        return ClaimedUnit(unit.id, unit.attempt, spec, order, data)

    def _order(self, unit: LeasedUnit, payload: Mapping[str, Any], spec: UnitSpec) -> dict[str, Any]:
        own = dict(payload.get("environment", ()))
        if spec.threads_per_process > 1:
            own.setdefault("OMP_NUM_THREADS", str(spec.threads_per_process))
        if spec.is_mpi:
            own["PILOT_RANKS"] = str(spec.number_of_processes)
        own["PILOT_ID"] = self._pilot
        own["PILOT_UNIT_ID"] = unit.id
        own["PILOT_UNIT_ATTEMPT"] = str(unit.attempt)
        return {
            "id": unit.id,
            "attempt": unit.attempt,
            "exe": payload["executable"],
            "args": payload.get("arguments", ()),
            "env": own,
            "cwd": payload.get("working_directory", ""),
            "stdin": payload.get("input", ""),
            "stdout": payload.get("output", ""),
            "stderr": payload.get("error", ""),
            "pre": payload.get("pre_exec", ()),
            "post": payload.get("post_exec", ()),
            "expand": payload.get("expand_arguments", True),
            "sandbox": f"{self._sandbox}/{unit.id}",
        }
