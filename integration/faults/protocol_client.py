"""A client of the protocol for fault tests: submits, follows events, and keeps the promises of the real one.

Synchronous, one connection, nothing clever. Like the real client it says again what it said within the last seconds when
the server has come back with another run id, and repeats whatever it did not hear the answer to.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pilot_protocol import pilot_ops, reads, unit_ops, unit_payloads
from pilot_protocol.keys import Keys, label_of, queue_name, shape_of
from pilot_protocol.messages import ControlOrder, UnitResult, seal_name
from pilot_protocol.operation import BATCH, Operation, Query, refusal
from pilot_protocol.scripts import knows_flags, script
from pilot_protocol.signing import CANCEL, CONTROL, RESULT, Seal
from pilot_protocol.version import PROTOCOL

T = TypeVar("T")

SESSION, SERVICE, OWNER, GROUP = "s-abcdefghijklmnop", "pcs-aaaaaaaa", "cds-aaaaaaaa", "abcdef"
PATIENCE_S = 45.0
"""How long an event is waited for: the machine of the tests may be slow."""

_REPLY_S = 5.0
_BLOCK_MS = 500
_FINAL = "DFC"


def unit_id(number: int) -> str:
    """Return the id of a unit of this client."""
    return f"cu-{GROUP}-{number}"


@dataclass(frozen=True)
class Request:
    """What is the same for all units of a submission, beside their payload."""

    owner: str = OWNER
    cores: int = 1
    block: int = 0
    """Cores that must lie on one node; 0: all of them."""
    retries: int = 0
    max_restarts: int = 3
    predecessors: Sequence[str] = ()


@dataclass
class Seen:
    """What the events have told so far."""

    states: dict[str, str] = field(default_factory=dict)
    """Each unit's last letter."""
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each unit was said to have ended, by letter."""
    pilots: dict[str, str] = field(default_factory=dict)

    def take(self, event: reads.SessionEvent) -> None:
        for letter in "SRNDFC":
            for name in event.units.get(letter, ()):
                self.states[name] = letter
                if letter in _FINAL:
                    self.ends[name, letter] += 1
        self.pilots.update(event.pilots)

    def in_state(self, letters: str) -> set[str]:
        return {name for name, letter in self.states.items() if letter in letters}


class ProtocolClient:
    """One client of one session.

    Args:
        url: The server, with its password.
        key: The session's key.
        lease_s: The session's lease.
        protocol: The version that a new session is given.
    """

    def __init__(self, url: str, key: bytes, lease_s: float, protocol: str = PROTOCOL) -> None:
        self.url = url
        self.lease_s = lease_s
        self.keys = Keys(SESSION)
        self.seal = Seal(SESSION, key)
        self.seen = Seen()
        self.redis: Any  # redis-py tells the types of its asyncio twin, too
        self._opening = pilot_ops.open_session(self.keys, protocol, int(lease_s * 1000))
        self._said: list[Operation[Any]] = []
        self._cursor = "0-0"
        self._boot = ""
        self._submitted = 0
        self._connect()
        self.run(self._opening)

    def close(self) -> None:
        self.redis.close()

    # --- the connection ---

    def _connect(self) -> None:
        self.redis = redis.Redis.from_url(
            self.url,
            protocol=2,
            socket_timeout=_REPLY_S,
            retry=Retry(NoBackoff(), 0),
            # A pool would replace a broken connection in silence, and the change of the run id would not be noticed.
            single_connection_client=True,
        )
        facts: dict[str, Any] = cast("dict[str, Any]", self.redis.info("server"))
        self._flags = knows_flags(str(facts["redis_version"]))
        known, self._boot = self._boot, str(facts["run_id"])
        if known not in ("", self._boot):
            for operation in (self._opening, *self._said):
                self._say(operation)

    def reconnect(self) -> None:
        """Come by another way, after a change of `url`."""
        self.redis.close()
        self._connect()

    def _reconnecting(self, act: Callable[[], T]) -> T:
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                return act()
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > deadline_s:
                    raise
                self._reconnect(deadline_s)

    def _reconnect(self, deadline_s: float) -> None:
        while True:
            try:
                return self._connect()
            except (redis.ConnectionError, redis.TimeoutError):
                if time.monotonic() > deadline_s:
                    raise

    def run(self, operation: Operation[T]) -> T:
        """Carry out an operation, again if its answer is not heard."""
        return self._reconnecting(lambda: self._say(operation))

    def _say(self, operation: Operation[T]) -> T:
        source = script(operation.script, flags=self._flags).source
        try:
            return operation.parse(
                self.redis.eval(source, 1, operation.prefix, self._boot, *operation.arguments)
            )
        except redis.ResponseError as error:
            raise refusal(str(error)) or error from None

    def query(self, query: Query[T]) -> T:
        """Read something."""
        return self._reconnecting(lambda: query.parse(self.redis.execute_command(*query.command)))

    # --- what a user does ---

    def prepare_pilot(self, pilot: str) -> None:
        """Announce a pilot that serves this client's units."""
        announced = pilot_ops.create_pilot(self.keys, pilot, SERVICE, b"")
        attached = pilot_ops.attach(self.keys, SERVICE, OWNER)
        self._said += [announced, attached]
        self.run(announced)
        self.run(attached)

    def submit(self, payloads: Sequence[Mapping[str, Any]], request: Request | None = None) -> list[str]:
        """Submit units and return their ids."""
        request = request or Request()
        ids = [unit_id(self._submitted + number) for number in range(len(payloads))]
        self._submitted += len(ids)
        for start in range(0, len(ids), BATCH):
            operation = self._submission(ids[start : start + BATCH], payloads[start : start + BATCH], request)
            self._said.append(operation)
            self.run(operation)
        return ids

    def _submission(
        self, ids: Sequence[str], payloads: Sequence[Mapping[str, Any]], request: Request
    ) -> Operation[unit_ops.Submitted]:
        queue = queue_name(
            request.owner, label_of(), shape_of(request.cores, request.block or request.cores), 0
        )
        templates, sealed = unit_payloads.pack(self.seal, ids, payloads)
        units = [
            unit_ops.NewUnit(name, queue, text, request.retries, request.max_restarts, request.predecessors)
            for name, text in zip(ids, sealed, strict=True)
        ]
        return unit_ops.submit(self.keys, GROUP, request.owner, units, templates)

    def cancel(self, ids: Sequence[str]) -> str:
        """Cancel units; returns a digit per unit."""
        orders = [
            (name, self.seal.close(CANCEL, name, ControlOrder("cancel", name).to_bytes())) for name in ids
        ]
        return self.run(unit_ops.cancel(self.keys, orders))

    def tell(self, pilot: str, verb: str) -> None:
        """Give a pilot an order."""
        order = self.seal.close(CONTROL, pilot, ControlOrder(verb).to_bytes())
        self.run(pilot_ops.control(self.keys, pilot, order))

    # --- what a user sees ---

    def wait(self, is_reached: Callable[[Seen], bool], limit_s: float = PATIENCE_S) -> Seen:
        """Follow the events until something is reached.

        Raises:
            AssertionError: It was not reached in time.
        """
        deadline_s = time.monotonic() + limit_s
        while not is_reached(self.seen):
            if time.monotonic() > deadline_s:
                raise AssertionError(f"not reached in {limit_s:g} s; units by state: {self.counts()}")
            for event in self.query(reads.events(self.keys, self._cursor, _BLOCK_MS)):
                self._cursor = event.cursor
                self.seen.take(event)
        return self.seen

    def wait_for_ends(self, ids: Sequence[str], limit_s: float = PATIENCE_S) -> None:
        """Wait until all these units have ended."""
        wanted = set(ids)
        self.wait(lambda seen: wanted <= seen.in_state("DFC"), limit_s)

    def wait_for_pilot(self, pilot: str, *states: str) -> None:
        """Wait until a pilot has one of these states."""
        self.wait(lambda seen: seen.pilots.get(pilot) in states)

    def counts(self) -> dict[str, int]:
        """Return how many units are in each state, as the records say."""
        return {k: n for k, n in self.query(reads.counts(self.keys)).get(GROUP, {}).items() if n}

    def letters(self, ids: Sequence[str]) -> list[str]:
        """Return the units' letters, as the records say; ``?`` for a unit without one."""
        records = self.query(reads.units(self.keys, ids))
        return [record.letter if record else "?" for record in records]

    def result(self, name: str) -> UnitResult:
        """Return the result of a unit, whose seal is checked."""
        record = self.query(reads.units(self.keys, [name]))[0]
        sealed = self.query(reads.results(self.keys, [name]))[0]
        assert record is not None, f"{name} is unknown"
        assert sealed is not None, f"{name} has no result"
        return UnitResult.from_bytes(self.seal.open(RESULT, seal_name(name, record.attempt), sealed))

    def reason(self, name: str) -> str:
        """Return why a unit is not Done, whoever ended it."""
        by_script = self.query(reads.reasons(self.keys, [name]))[0]
        return by_script or self.result(name).reason
