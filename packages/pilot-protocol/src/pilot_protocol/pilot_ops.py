"""Operations on sessions and pilots. Pure: they build arguments and read replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .keys import Keys
from .operation import Argument, Operation, text_of
from .unit_ops import read_controls


@dataclass(frozen=True)
class OpenedSession:
    """Reply to opening a session: what its first opener wrote."""

    protocol: str
    lease_ms: int
    created_ms: int


@dataclass(frozen=True)
class Registered:
    """Reply to an agent that takes up its pilot."""

    epoch: str
    """Only grows; names this start of the agent in everything it says."""
    protocol: str
    server_ms: int


@dataclass(frozen=True)
class Beaten:
    """Reply to a heartbeat."""

    server_ms: int
    must_sync: bool
    """The server has come back and does not know what this pilot holds."""
    controls: tuple[tuple[int, bytes], ...]
    replicas_are_asked: bool = False
    """While there are units that read data: whoever can make replicas may be needed."""


def open_session(
    keys: Keys, protocol: str, lease_ms: int, *, rebuilt: bool = False
) -> Operation[OpenedSession]:
    """Make the session or join it.

    Args:
        keys: The session.
        protocol: The version that is written into a new session.
        lease_ms: How long pilots count as alive without a heartbeat; a session that exists keeps its own.
        rebuilt: Whether the session existed before and the server has lost it. Agents may hold units of it, so nobody
            may claim for a lease.
    """
    return Operation("open_session", keys.prefix, (protocol, lease_ms, int(rebuilt)), _read_opened)


def _read_opened(reply: Any) -> OpenedSession:
    return OpenedSession(text_of(reply[0]), int(reply[1]), int(reply[2]))


def create_pilot(keys: Keys, pilot: str, service: str, description: bytes) -> Operation[int]:
    """Announce a pilot, Pending, before its placeholder job is submitted."""
    return Operation("create_pilot", keys.prefix, (pilot, service, description), int)


def note_placeholder(keys: Keys, pilot: str, handle: bytes) -> Operation[int]:
    """Note what a client needs to find a pilot's placeholder job again, sealed."""
    return Operation("note_placeholder", keys.prefix, (pilot, handle), int)


def register(
    keys: Keys, pilot: str, instance: str, lease_ms: int, record: Mapping[str, Argument]
) -> Operation[Registered]:
    """Take up a pilot, Running from now on.

    Args:
        keys: The session.
        pilot: The pilot's id.
        instance: A nonce of this start of the agent; a repetition with the same one changes nothing.
        lease_ms: How long the pilot counts as alive without a heartbeat.
        record: ``cores``, ``node_cores``, ``gpus``, ``memory_mb``, ``label``, ``nodes``, ``protocol``, ``version`` …
    """
    fields = [value for item in record.items() for value in item]
    return Operation("register_pilot", keys.prefix, (pilot, instance, lease_ms, *fields), _read_registered)


def _read_registered(reply: Any) -> Registered:
    return Registered(text_of(reply[0]), text_of(reply[1]), int(reply[2]))


def sync(
    keys: Keys, pilot: str, epoch: str, lease_ms: int, held: Sequence[tuple[str, int]]
) -> Operation[tuple[str, ...]]:
    """Tell which units, at which attempt, the agent holds; returns those that it must drop."""
    pairs = [value for pair in held for value in pair]
    return Operation("sync_pilot", keys.prefix, (pilot, epoch, lease_ms, *pairs), _read_names)


def _read_names(reply: Any) -> tuple[str, ...]:
    return tuple(text_of(name) for name in reply)


def beat(
    keys: Keys, pilot: str, epoch: str, lease_ms: int, control_seen: int, record: Mapping[str, Argument]
) -> Operation[Beaten]:
    """Renew the lease, update the pilot's record, and end pilots whose lease has passed."""
    fields = [value for item in record.items() for value in item]
    return Operation("beat_pilot", keys.prefix, (pilot, epoch, lease_ms, control_seen, *fields), _read_beaten)


def _read_beaten(reply: Any) -> Beaten:
    return Beaten(int(reply[0]), bool(reply[1]), read_controls(reply[2]), any(reply[3:4]))


def sweep(keys: Keys) -> Operation[int]:
    """End pilots whose lease has passed; returns how many."""
    return Operation("sweep", keys.prefix, (), int)


def control(keys: Keys, pilot: str, order: bytes) -> Operation[int]:
    """Leave a sealed order for a pilot's agent; returns 0 when the pilot has ended."""
    return Operation("control_pilot", keys.prefix, (pilot, order), int)


@dataclass(frozen=True)
class PilotEnd:
    """How a pilot ended."""

    state: str
    """``Done``, ``Failed`` or ``Canceled``."""
    reason: str
    message: str = ""


def end(keys: Keys, pilot: str, epoch: str, how: PilotEnd) -> Operation[int]:
    """End a pilot; its units go elsewhere. Returns 0 when it had ended before.

    Args:
        keys: The session.
        pilot: The pilot's id.
        epoch: The agent's epoch; empty for a client that knows that no process of the pilot lives.
        how: The final state and its reason.
    """
    return Operation("end_pilot", keys.prefix, (pilot, epoch, how.state, how.reason, how.message), int)


def attach(keys: Keys, service: str, owner: str, *, attached: bool = True) -> Operation[tuple[str, ...]]:
    """Let the pilots of a PilotComputeService run a compute-data service's units, or stop that."""
    return Operation("attach_service", keys.prefix, (service, "+" if attached else "-", owner), _read_names)


def purge(keys: Keys) -> Operation[int]:
    """Remove the session from Redis; returns the number of keys."""
    return Operation("purge_session", keys.prefix, (), int)
