"""Every error that the packages raise.

One root, ``PilotError``, so that one ``except`` catches all of them and nothing else. The facts of an error
are fields, so that a program never has to read the message; the message says what failed, the value, and what is
allowed or what to do. Errors survive the way to another process, whatever their constructor takes. No error
holds a secret.
"""

from __future__ import annotations

import copyreg
from typing import Any

STDERR_LINES_SHOWN = 10


class PilotError(Exception):
    """Root of all errors of this project.

    Attributes:
        transient: True when the same call may succeed later without any change.
    """

    transient: bool = False

    def __init__(self, message: str, *, transient: bool | None = None) -> None:
        super().__init__(message)
        if transient is not None:
            self.transient = transient

    @property
    def value(self) -> str:
        """The message, under the name that BigJob gave it."""
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls the constructor with the message alone; errors made from facts take more.
        return copyreg.__newobj__, (type(self), *self.args), vars(self)  # type: ignore[attr-defined]


class DescriptionError(PilotError):
    """A description has an unknown key, a missing key or a value that is not allowed.

    Attributes:
        key: the key at fault, None when it is the description as a whole.
        given: the value as it was given.
    """

    def __init__(self, message: str, *, key: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.key = key
        self.given = value


class UnknownKeyError(DescriptionError, AttributeError):
    """A description has no such key; an AttributeError too, since keys of a description are attributes."""


class UnsatisfiableRequestError(DescriptionError):
    """A compute unit asks for more than any pilot that may take it has.

    Attributes:
        unit_id: the compute unit.
        asked: what it asks for, for example ``64 cores``.
        available: who has how much, for example ``pilot p-2 has 16``.
    """

    def __init__(self, unit_id: str, asked: str, available: str) -> None:
        super().__init__(
            f"compute unit {unit_id} asks for {asked}, {available}; ask for less or start a larger pilot"
        )
        self.unit_id = unit_id
        self.asked = asked
        self.available = available


class StateError(PilotError):
    """A state was asked to change as its table of moves does not allow, or a call does not fit the state."""


class ProtocolError(PilotError):
    """A message or a record is not what the protocol says it is."""


class VersionError(ProtocolError):
    """The two ends speak different major versions of the protocol."""


class ForgedRecordError(ProtocolError):
    """A record does not carry the signature of its session."""


class SubmissionError(PilotError):
    """A pilot could not be handed to its resource."""


class CoordinationError(PilotError):
    """The Redis server cannot be reached or refuses to serve; what was running goes on."""

    transient = True


class TransferError(PilotError):
    """Files could not be moved or do not have the checksum they should have."""


class ComputeUnitFailed(PilotError):  # noqa: N818 - named after the state, like the ones that users wait for
    """A compute unit ended in another state than Done.

    Attributes:
        unit_id: the compute unit.
        state: the final state, ``Failed`` or ``Canceled``.
        reason: why, as one word of the protocol, for example ``exit``, ``signal``, ``timeout``, ``lost``.
        exit_code: of the program, None when it did not exit by itself.
        signal: number of the signal that ended it, None when none did.
        stderr: the end of its standard error, or the agent's message when the program was never started.
    """

    def __init__(
        self,
        unit_id: str,
        state: str,
        reason: str,
        exit_code: int | None = None,
        signal: int | None = None,
        stderr: str = "",
    ) -> None:
        self.unit_id = unit_id
        self.state = state
        self.reason = reason
        self.exit_code = exit_code
        self.signal = signal
        self.stderr = stderr
        super().__init__(self._headline() + self._last_lines())

    def _headline(self) -> str:
        facts = [f"reason {self.reason}"] if self.reason else []
        if self.exit_code is not None:
            facts.append(f"exit code {self.exit_code}")
        if self.signal is not None:
            facts.append(f"signal {self.signal}")
        return f"compute unit {self.unit_id} is {self.state}" + (f": {', '.join(facts)}" if facts else "")

    def _last_lines(self) -> str:
        lines = self.stderr.rstrip().splitlines()[-STDERR_LINES_SHOWN:]
        return "\n".join(["; it said last:", *(f"  {line}" for line in lines)]) if lines else ""


_IF_PIP_FAILS = {
    "saga": " (if pip cannot build netifaces, install a C compiler first: apt-get install gcc python3-dev, or "
    "dnf install gcc python3-devel)"
}
"""What to do before, where an extra has a part that pip has to compile."""


class MissingExtraError(PilotError):
    """An optional part is not installed.

    Attributes:
        extra: name of the extra, for example ``saga``.
        needed_for: what asked for it, for example ``a pilot at slurm://cluster``.
    """

    def __init__(self, extra: str, needed_for: str) -> None:
        command = f"pip install 'pilot-client[{extra}]'"
        super().__init__(
            f"{needed_for} needs the extra {extra!r}; type: {command}{_IF_PIP_FAILS.get(extra, '')}"
        )
        self.extra = extra
        self.needed_for = needed_for
