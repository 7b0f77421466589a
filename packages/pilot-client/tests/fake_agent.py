"""An agent for tests: speaks the protocol as one, starts no process, and does what the test says when it says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pilot.session import Session
from pilot_protocol import pilot_ops, reads, unit_ops, unit_payloads
from pilot_protocol.messages import ControlOrder, UnitResult, seal_name
from pilot_protocol.operation import BarrierError
from pilot_protocol.pilot_ops import PilotEnd
from pilot_protocol.signing import CANCEL, CONTROL, RESULT, SIGNATURE_BYTES
from pilot_protocol.unit_ops import ClaimRequest, LeasedUnit, UnitReport
from pilot_protocol.version import PROTOCOL
from pilot_session.redis_link import RedisLink

GOOD = UnitResult(exit_code=0, started_ms=1_000, ended_ms=2_500, node="n1", cores="0", stdout="hello\n")
BAD = UnitResult(
    exit_code=3, reason="exit", started_ms=1_000, ended_ms=2_500, node="n1", stderr="no such file\n"
)


class FakeAgent:
    """The agent of one pilot.

    Args:
        session: The pilot's.
        pilot: Its id.
        cores: That it says it holds.
    """

    def __init__(self, session: Session, pilot: str, cores: int = 4) -> None:
        self._session = session
        self._link = RedisLink(session.url)
        self.pilot = pilot
        self._lease_ms = int(session.lease_s * 1000)
        self._claims = 0
        self.record: dict[str, str | int] = {
            "cores": cores,
            "node_cores": cores,
            "free_cores": cores,
            "nodes": "n1",
            "version": "0.0",
        }
        self.register()

    def register(self) -> None:
        """Take up the pilot."""
        record = {**self.record, "protocol": PROTOCOL}
        self.epoch = self._link.run(
            pilot_ops.register(self._session.keys, self.pilot, "one", self._lease_ms, record)
        ).epoch

    def claim(self, most: int = 1000) -> list[LeasedUnit]:
        """Take the units that there are."""
        self._claims += 1
        request = ClaimRequest(
            self.pilot, self.epoch, self._claims, most, 1000, reserve=False, control_seen=0
        )
        return list(self._link.run(unit_ops.claim(self._session.keys, request)).units)

    def report(self, units: Sequence[LeasedUnit], letter: str, result: UnitResult | None = None) -> str:
        """Say what became of units, with a sealed result if there is one."""
        return self._link.run(
            unit_ops.report(
                self._session.keys, self.pilot, self.epoch, [self._news(u, letter, result) for u in units]
            )
        ).outcomes

    def _news(self, unit: LeasedUnit, letter: str, result: UnitResult | None) -> UnitReport:
        if result is None:
            return UnitReport(unit.id, unit.attempt, letter)
        name = seal_name(unit.id, unit.attempt)
        return UnitReport(
            unit.id, unit.attempt, letter, self._session.seal.close(RESULT, name, result.to_bytes())
        )

    def claim_when_allowed(self) -> list[LeasedUnit]:
        """Take the units that there are, as soon as a server that has come back lets pilots claim."""
        while True:
            try:
                return self.claim()
            except BarrierError:
                self._claims -= 1
                self._link.run(pilot_ops.sync(self._session.keys, self.pilot, self.epoch, self._lease_ms, []))

    def finish_all(self, result: UnitResult = GOOD) -> int:
        """Claim and end what there is, batch by batch; returns how many."""
        number = 0
        while units := self.claim(200):
            self.report(units, "E" if result.reason else "D", result)
            number += len(units)
        return number

    def descriptions(self, units: Sequence[LeasedUnit]) -> list[dict[str, Any]]:
        """Open the descriptions of leased units, as an agent does before it runs them."""
        digests = sorted({unit_payloads.template_of(unit.description) for unit in units} - {""})
        records = self._link.query(reads.templates(self._session.keys, digests)) if digests else []
        templates = {
            digest: unit_payloads.open_template(self._session.seal, digest, record or b"")
            for digest, record in zip(digests, records, strict=True)
        }
        return [
            unit_payloads.unpack(self._session.seal, unit.id, unit.description, templates) for unit in units
        ]

    def controls(self) -> list[ControlOrder]:
        """Return the orders that wait for this agent, their seals checked."""
        beaten = self._link.run(
            pilot_ops.beat(self._session.keys, self.pilot, self.epoch, self._lease_ms, 0, {})
        )
        return [self._open(record) for _, record in beaten.controls]

    def _open(self, record: bytes) -> ControlOrder:
        order = ControlOrder.from_bytes(record[SIGNATURE_BYTES:])
        kind, name = (CANCEL, order.unit) if order.verb == "cancel" else (CONTROL, self.pilot)
        return ControlOrder.from_bytes(self._session.seal.open(kind, name, record))

    def end(self, state: str = "Done") -> None:
        """End the pilot."""
        self._link.run(pilot_ops.end(self._session.keys, self.pilot, self.epoch, PilotEnd(state, "")))

    def close(self) -> None:
        """Close the connection."""
        self._link.close()


StartPilot = Callable[..., FakeAgent]
"""Creates a pilot of a service and its agent; takes service, pilot and cores."""
