"""Waiting for many compute units: one after the other as they end, or all of them with a look at the progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from pilot_protocol.errors import DescriptionError, StateError
from pilot_protocol.states import State

from .compute_unit import ComputeUnit
from .following import follow_units
from .prospects import Awaited, open_units
from .session import Session
from .tracker import UnitGroup
from .waiting import follow_before_waiting, wait_for_units

Counts = Mapping[State, int]
Show = Callable[[Counts], object]


class Completion:
    """Yields units as they end, each once; looks at what ended, never at all that is open.

    Args:
        session: The units'.
        units: To be yielded.

    Raises:
        DescriptionError: One is no ComputeUnit.
        StateError: One belongs to another session.
    """

    def __init__(self, session: Session, units: Iterable[ComputeUnit]) -> None:
        self._session = session
        self._open = {_place(unit): unit for unit in _checked(units)}
        self._groups = {head: _group(session, head) for head, _ in self._open}
        self._owners = {group.owner for group in self._groups.values()}
        self._seen = dict.fromkeys(self._groups, 0)
        self._awaited = Awaited(self._owners, self._still_waiting, self._open_units)

    def within(self, timeout_s: float | None) -> Iterator[ComputeUnit]:
        """Yield the units.

        Args:
            timeout_s: Seconds for all of them; None for no end.

        Raises:
            TimeoutError: Some have not ended in time.
        """
        deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while self._open:
            yield from self._ended()
            if not self._open:
                return
            rest_s = None if timeout_s is None else deadline - time.monotonic()
            if not wait_for_units(self._session, self._awaited, rest_s):
                yield from self._ended()
                self._stop(timed_out=time.monotonic() >= deadline)
                return

    def _stop(self, *, timed_out: bool) -> None:
        if timed_out and self._open:
            units = "1 compute unit has" if len(self._open) == 1 else f"{len(self._open)} compute units have"
            raise TimeoutError(f"{units} not ended in time")

    def _still_waiting(self) -> int:
        """Return 0 as soon as a group has an end that was not looked at."""
        news = any(len(group.ended) > self._seen[head] for head, group in self._groups.items())
        return 0 if news else len(self._open)

    def _open_units(self) -> Iterator[tuple[UnitGroup, int]]:
        return ((self._groups[head], number) for head, number in reversed(self._open))

    def _ended(self) -> Iterator[ComputeUnit]:
        for head, group in self._groups.items():
            while self._seen[head] < len(group.ended):
                number = group.ended[self._seen[head]]
                self._seen[head] += 1
                unit = self._open.pop((head, number), None)
                if unit is not None:
                    yield unit


def _checked(units: Iterable[object]) -> Iterator[ComputeUnit]:
    for unit in units:
        if not isinstance(unit, ComputeUnit):
            raise DescriptionError(
                f"{unit!r} is no ComputeUnit; give those that were submitted, or get_compute_unit(id)",
                key="units",
                value=unit,
            )
        yield unit


def _place(unit: ComputeUnit) -> tuple[str, int]:
    """Return the head of a unit's id, which names its group, and its number."""
    head, _, number = unit.id.rpartition("-")
    return head, int(number)


def _group(session: Session, head: str) -> UnitGroup:
    group = session.tracker.groups.get(head)
    if group is None:
        raise StateError(
            f"the units {head}-… do not belong to session {session.id}; ask a service of their own session"
        )
    return group


def wait_for_owner(session: Session, owner: str, timeout_s: float | None, show: Show | None) -> bool:
    """Wait until all units of an owner have ended; returns whether they have.

    Args:
        session: The units'.
        owner: The compute-data service.
        timeout_s: Seconds; None for no end.
        show: Called with the number of units in each state at first, whenever it changes, and in the end.
    """
    deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
    are_all_known = follow_before_waiting(session, owner, timeout_s)
    have_ended = _wait_for_known(session, owner, deadline, show)
    if have_ended and not are_all_known:
        follow_units(session, owner)
        have_ended = _wait_for_known(session, owner, deadline, show)
    return have_ended


def _wait_for_known(session: Session, owner: str, deadline: float, show: Show | None) -> bool:
    tracker = session.tracker
    shown: Counts | None = None

    def count_open() -> int:
        return sum(group.open for group in tracker.groups_of(owner))

    def count_until_news() -> int:
        return count_open() if show is None or tracker.counts_of(owner) == shown else 0

    def all_open() -> Iterator[tuple[UnitGroup, int]]:
        return (unit for group in tracker.groups_of(owner) for unit in open_units(group))

    awaited = Awaited({owner}, count_until_news, all_open)
    while True:
        if show is not None:
            shown = tracker.counts_of(owner)
            show(shown)
        rest_s = None if deadline == math.inf else deadline - time.monotonic()
        if not wait_for_units(session, awaited, rest_s) or not count_open():
            break
    if show is not None and shown != (last := tracker.counts_of(owner)):
        show(last)
    return not count_open()
