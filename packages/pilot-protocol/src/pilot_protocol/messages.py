"""What is said between client and agent beside the arguments of scripts, and its bytes.

A result is a JSON list whose fields are only ever added at the end: an older reader ignores what it does not know, a
newer one fills what is missing with the default. A control order is a JSON object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import codec
from .errors import ProtocolError


class UnitResult(NamedTuple):
    """How one attempt of a unit ended. Times are milliseconds of the Redis server's clock."""

    exit_code: int | None = None
    signal: int | None = None
    reason: str = ""
    """Empty when the unit is Done, else one of :data:`REASONS`."""
    message: str = ""
    started_ms: int = 0
    ended_ms: int = 0
    user_s: float = 0.0
    system_s: float = 0.0
    peak_memory_kb: int = 0
    cores: str = ""
    """Core numbers on the node, as ``0-3,8``."""
    node: str = ""
    working_directory: str = ""
    """Empty when the unit needed no folder of its own."""
    stdout: str | None = None
    """What was captured, at most 4096 bytes; None when it is in ``stdout_file``."""
    stderr: str = ""
    """The last 4096 bytes at most, wherever they are kept."""
    stdout_file: str = ""
    stderr_file: str = ""

    def to_bytes(self) -> bytes:
        """Return the record; defaults at the end are left out."""
        values = list(self)
        while values and values[-1] == _DEFAULTS[len(values) - 1]:
            values.pop()
        return codec.encode(values)

    @classmethod
    def from_bytes(cls, record: bytes) -> UnitResult:
        """Read a record of this or a later minor version.

        Raises:
            ProtocolError: It is no JSON list, or a field has another type.
        """
        values = codec.decode(record)
        if not isinstance(values, list):
            raise ProtocolError(f"a result is a {type(values).__name__}, a list was expected")
        result = cls(*values[: len(_DEFAULTS)])
        for name, value, default in zip(cls._fields, result, _DEFAULTS):
            wanted = _TYPES.get(name, (type(default),))
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise ProtocolError(f"a result's {name} is {value!r}")
        return result


_DEFAULTS = tuple(UnitResult._field_defaults.values())
_TYPES: dict[str, tuple[type, ...]] = {
    "exit_code": (int, type(None)),
    "signal": (int, type(None)),
    "user_s": (int, float),
    "system_s": (int, float),
    "stdout": (str, type(None)),
}

REASONS = (
    "exit", "signal", "timeout", "walltime", "oom", "lost", "staging", "disk_full",
    "rejected", "dependency", "poison", "canceled", "start",
)  # fmt: skip
"""Why a unit is not Done; ``start`` means that its program could not be started."""


@dataclass(frozen=True)
class ControlOrder:
    """What a client asks of a pilot's agent."""

    verb: str
    """``stop`` (end now), ``drain`` (start nothing more) or ``cancel`` (one unit)."""
    unit: str = ""

    def to_bytes(self) -> bytes:
        """Return the record."""
        return codec.encode({"verb": self.verb, "unit": self.unit} if self.unit else {"verb": self.verb})

    @classmethod
    def from_bytes(cls, record: bytes) -> ControlOrder:
        """Read a record.

        Raises:
            ProtocolError: It has no verb.
        """
        content: dict[str, Any] = codec.decode_object(record)
        verb, unit = content.get("verb"), content.get("unit", "")
        if not isinstance(verb, str) or not isinstance(unit, str):
            raise ProtocolError(f"a control order has no verb: {content!r}")
        return cls(verb, unit)


_UNIT_RECORD = re.compile(
    r"([WNASRDFC])\|(\d{1,15})\|([^|]*)\|(\d{1,15})\|(\d{1,15})\|([^|]*)\|(\d{1,15})", re.ASCII | re.DOTALL
)
"""The scripts read it in the same way, see ``lua/prelude/units.lua``."""


@dataclass(frozen=True)
class UnitRecord:
    """What Redis keeps of a unit's progress: ``state|attempt|pilot|retries|restarts|queue|submitted``."""

    letter: str
    attempt: int
    pilot: str
    retries_left: int
    restarts_left: int
    queue: str
    submitted_ms: int

    @classmethod
    def from_bytes(cls, record: bytes) -> UnitRecord:
        """Read a record.

        Raises:
            ProtocolError: It has another shape.
        """
        found = _UNIT_RECORD.fullmatch(record.decode("utf-8", "replace"))
        if found is None:
            raise ProtocolError(f"a unit's record cannot be read: {record[:80]!r}")
        letter, attempt, pilot, retries, restarts, queue, submitted = found.groups()
        return cls(letter, int(attempt), pilot, int(retries), int(restarts), queue, int(submitted))


def seal_name(unit: str, attempt: int) -> str:
    """Return the name under which a result is sealed: it belongs to one attempt only."""
    return f"{unit}:{attempt}"
