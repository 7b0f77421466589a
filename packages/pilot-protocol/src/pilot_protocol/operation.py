"""Operations as data: which script, with which arguments, and how to read its reply. No I/O.

The client (synchronous) and the agent (asyncio) run them through their own links. A link puts the server's run id
before the arguments and turns error replies into exceptions with :func:`refusal`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable, Generic, TypeVar, Union

from .errors import CoordinationError

T = TypeVar("T")
Argument = Union[str, bytes, int, float]

BATCH = 500
"""Most units that one script handles: about 5 ms of the server's time."""

ORDERS_PER_REPLY = 500
"""Most orders in one reply; who gets as many asks again at once."""


@dataclass(frozen=True)
class Operation(Generic[T]):
    """One call of a script."""

    script: str
    prefix: str
    arguments: Sequence[Argument]
    parse: Callable[[Any], T]


@dataclass(frozen=True)
class Query(Generic[T]):
    """One read: a plain Redis command that changes nothing."""

    command: Sequence[Argument]
    parse: Callable[[Any], T]


def text_of(value: Any) -> str:
    """Return a text out of a reply; bytes that are no UTF-8 do not hide the rest of it."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


class FencedError(CoordinationError):
    """The pilot has a newer epoch: this agent's lease ended, or another agent took over."""


class PilotEndedError(CoordinationError):
    """The pilot has ended; nothing more is taken from it or for it."""

    transient = False


class BarrierError(CoordinationError):
    """The server has come back and waits for its pilots; ask again when the doorbell rings or after a second."""


class NoSessionError(CoordinationError):
    """The server does not know the session: it was purged, or the server lost its data."""


_REFUSALS: dict[str, type[CoordinationError]] = {
    "FENCED": FencedError,
    "ENDED": PilotEndedError,
    "BARRIER": BarrierError,
    "NOSESSION": NoSessionError,
}


def refusal(message: str) -> CoordinationError | None:
    """Return the exception for a script's error reply, None when the words are Redis's own."""
    kind = _REFUSALS.get(message.split(" ", 1)[0])
    return kind(message) if kind else None
