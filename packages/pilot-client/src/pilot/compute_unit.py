"""The handle of a compute unit.

A handle is small and holds no state: the state is the session's, so all handles of one unit agree, and a sweep of a
million units costs little more than their results.
"""

from __future__ import annotations

from typing import Any, final

from pilot_protocol.errors import ComputeUnitFailed, StateError
from pilot_protocol.messages import UnitResult
from pilot_protocol.states import State, is_final
from pilot_session.argument_checks import seconds
from pilot_session.getters import Getters

from .following import follow_unit
from .open_sessions import find
from .prospects import Awaited
from .session import Session
from .tracker import UnitGroup
from .unit_details import read_details, read_result
from .unit_output import read_stderr, read_stdout
from .waiting import wait_for_units


@final
class ComputeUnit(Getters):
    """A piece of work that was submitted. Two handles of the same unit are equal.

    Args:
        cu_url: Reconnects to a unit by its `url`, from any process of the same user on a machine that has the
            session's file.

    Raises:
        CoordinationError: The session is not known here, or its server cannot be reached.
        DescriptionError: It is no URL of a compute unit.
        StateError: There is no such unit any more.
    """

    __slots__ = ("_group", "_number", "_result", "_session")

    def __init__(self, cu_url: str) -> None:
        session, name = find(cu_url, "unit")
        self._take(session, *follow_unit(session, name))

    @classmethod
    def of(cls, session: Session, group: UnitGroup, number: int) -> ComputeUnit:
        """Return the handle of a unit that is followed already."""
        unit = cls.__new__(cls)
        unit._take(session, group, number)  # noqa: SLF001 - of this very class
        return unit

    def _take(self, session: Session, group: UnitGroup, number: int) -> None:
        self._session = session
        self._group = group
        self._number = number
        self._result: UnitResult | None = None

    @property
    def id(self) -> str:
        """The unit's id, unique in its session."""
        return self._group.unit_id(self._number)

    @property
    def url(self) -> str:
        """Where to find the unit again; holds no password."""
        return self._session.url_of("unit", self.id)

    @property
    def state(self) -> State:
        """The state; reads memory only, which follows Redis by itself."""
        return self._group.state(self._number)

    @property
    def details(self) -> dict[str, Any]:
        """Everything about the unit, read from Redis.

        ``description``, ``pilot``, ``node``, ``cores``, ``attempts``, ``exit_code``, ``signal``, ``reason`` (of a
        pending unit: what it waits for), ``message``, ``placement`` (of a unit with ``input_data``: which site was chosen,
        why, and what had to be moved), ``working_directory``, ``submitted``, ``started``, ``ended`` and
        ``timestamps`` (seconds since 1970 by the server's clock), ``usage``, and BigJob's keys. None where there is
        nothing to say yet.

        Raises:
            CoordinationError: The server cannot be reached.
            ForgedRecordError: A record was not written by a client or an agent of the session.
        """
        return read_details(self._session, self.id, self.state, self._ended())

    @property
    def exit_code(self) -> int | None:
        """Exit code of the program; None before its end, and when it did not end by itself."""
        result = self._ended()
        return result and result.exit_code

    def wait(self, timeout: float | None = None) -> State:
        """Wait until the unit has ended.

        It also returns, with a RuntimeWarning, when every pilot that could run the unit has ended, or all are too small.

        Args:
            timeout: Seconds; without end by default.

        Returns:
            The state, which is not final when the time was over first.

        Raises:
            CoordinationError: Redis refuses this session for good.
        """
        awaited = Awaited({self._group.owner}, self._is_open, lambda: [(self._group, self._number)])
        wait_for_units(self._session, awaited, seconds(timeout))
        return self.state

    def result(self, timeout: float | None = None) -> ComputeUnit:
        """Wait until the unit has ended well, and return it.

        Args:
            timeout: Seconds; without end by default.

        Raises:
            ComputeUnitFailed: It is Failed or Canceled; exit code and the end of its standard error are in it.
            TimeoutError: It has not ended in time, or no pilot is left that could run it.
        """
        state = self.wait(timeout)
        if state == State.Done:
            return self
        result = self._ended()
        if result is None:
            raise TimeoutError(
                f"compute unit {self.id} is {state}; it has not ended in time, or cannot: details['reason'] says what it "
                "waits for"
            )
        raise ComputeUnitFailed(
            self.id, state, result.reason, result.exit_code, result.signal, result.stderr or result.message
        )

    def cancel(self) -> None:
        """Cancel the unit: it never starts, or its processes are killed. Nothing happens when it has ended."""
        self._session.store.cancel([self.id])

    def stdout(self) -> str:
        """Return what the unit wrote to standard output.

        Raises:
            PilotError: It is in a file that cannot be read from here.
            StateError: The unit has not ended.
        """
        return read_stdout(self.id, self._end())

    def stderr(self) -> str:
        """Return what the unit wrote to standard error; only its end when it is in a file that is not here.

        Raises:
            StateError: The unit has not ended.
        """
        return read_stderr(self._end())

    def get_local_working_directory(self) -> str | None:
        """Return the directory on the node in which the unit ran; None before its end, or when it had none."""
        result = self._ended()
        return result.working_directory or None if result else None

    def __repr__(self) -> str:
        return f"<ComputeUnit {self.id} {self.state}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ComputeUnit):
            return NotImplemented
        return self._group is other._group and self._number == other._number

    def __hash__(self) -> int:
        return hash((self._group.name, self._number))

    def _is_open(self) -> int:
        return int(not is_final(self.state))

    def _ended(self) -> UnitResult | None:
        """Return how the unit ended, None while it has not."""
        if self._result is None and is_final(self.state):
            self._result = read_result(self._session, self.id)
        return self._result

    def _end(self) -> UnitResult:
        result = self._ended()
        if result is None:
            raise StateError(f"compute unit {self.id} is {self.state}; its output is there when it has ended")
        return result
