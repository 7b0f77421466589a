"""Finds circles of compute units that would wait for one another's files for ever. Pure: memory only, no I/O.

Data units have no versions: who reads one waits until all have ended that are to add to it. A circle closes with the unit
that is to add to a data unit for which another one waits; so the others are remembered, for as long as they wait.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pilot_protocol.errors import DescriptionError

_FIRST_TIDYING = 1000


@dataclass(eq=False, slots=True)
class Step:
    """A compute unit that data flows through.

    Attributes:
        name: Its id; what it runs, before it has one.
        inputs: The data units that it reads.
        outputs: Those that it adds files to.
        predecessors: Ids of the units that it waits for.
        is_submitted: Whether it has its id.
    """

    name: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    predecessors: tuple[str, ...] = ()
    is_submitted: bool = False

    @property
    def is_bound(self) -> bool:
        """Whether it waits for anything, or anything may wait for its files."""
        return bool(self.predecessors or self.inputs or self.outputs)


@dataclass
class _Found:
    """Where the search for a circle has been: to each step the next one, and the data unit between the two, if any."""

    following: dict[Step, tuple[Step, str]] = field(default_factory=dict)

    def path(self, step: Step) -> Iterator[str]:
        """Yield the names from a step to the one that the search began with."""
        yield step.name
        while step in self.following:
            step, between = self.following[step]
            yield from filter(None, (between, step.name))


class DataFlow:
    """The units of a session that this process knows to wait for data, or for such units.

    Args:
        is_waiting: Tells of a unit, by its id, whether it has not begun.
    """

    def __init__(self, is_waiting: Callable[[str], bool]) -> None:
        self._is_waiting = is_waiting
        self._steps: dict[Step, None] = {}
        self._by_name: dict[str, Step] = {}
        self._writers: dict[str, list[Step]] = {}
        self._readers: Counter[str] = Counter()
        self._tidy_at = _FIRST_TIDYING
        self._lock = threading.Lock()

    def admit(self, steps: Iterable[Step]) -> list[Step]:
        """Remember units that are about to be submitted; returns those that may be in a circle.

        Raises:
            DescriptionError: They would close a circle. None of them is remembered then.
        """
        with self._lock:
            admitted: list[Step] = []
            try:
                for step in steps:
                    admitted += self._admit(step)
            except DescriptionError:
                self._remove(admitted)
                raise
            return admitted

    def confirm(self, steps: Iterable[Step], names: Iterable[str]) -> None:
        """Note the ids that units were submitted with."""
        if not self._steps:
            return
        with self._lock:
            for step, name in zip(steps, names, strict=True):
                if step in self._steps:
                    step.name, step.is_submitted = name, True
                    self._by_name[name] = step
            self._tidy()

    def withdraw(self, steps: Iterable[Step]) -> None:
        """Forget those that were not submitted."""
        with self._lock:
            self._remove([step for step in steps if not step.is_submitted])

    def renew_lock(self) -> None:
        """Take another lock, in a forked child: a thread of the parent may have held the old one."""
        self._lock = threading.Lock()

    def _admit(self, step: Step) -> list[Step]:
        self._check(step)
        if not step.inputs and not any(name in self._by_name for name in step.predecessors):
            return []
        self._add(step)
        return [step]

    def _check(self, step: Step) -> None:
        wanted = {name for name in step.outputs if self._readers[name]}
        if not wanted:
            return
        found = _Found()
        seen, to_see = {step}, [step]
        while to_see:
            later = to_see.pop()
            for earlier, between in self._before(later):
                if earlier in seen or not self._waits(earlier):
                    continue
                found.following[earlier] = (later, between)
                closing = wanted.intersection(earlier.inputs)
                if closing:
                    raise _circle(min(closing), list(found.path(earlier)))
                seen.add(earlier)
                to_see.append(earlier)

    def _before(self, step: Step) -> Iterator[tuple[Step, str]]:
        """Yield the steps that one waits for, each with the data unit between the two."""
        for name in step.inputs:
            for writer in self._writers.get(name, ()):
                yield writer, name
        for name in step.predecessors:
            if name in self._by_name:
                yield self._by_name[name], ""

    def _waits(self, step: Step) -> bool:
        return not step.is_submitted or self._is_waiting(step.name)

    def _add(self, step: Step) -> None:
        self._steps[step] = None
        self._readers.update(step.inputs)
        for name in step.outputs:
            self._writers.setdefault(name, []).append(step)

    def _remove(self, steps: Sequence[Step]) -> None:
        for step in steps:
            if step not in self._steps:
                continue
            del self._steps[step]
            self._by_name.pop(step.name, None)
            self._readers -= Counter(step.inputs)
            for name in step.outputs:
                self._writers[name].remove(step)

    def _tidy(self) -> None:
        """Forget units that have begun, now and then."""
        if len(self._steps) < self._tidy_at:
            return
        kept = [step for step in self._steps if self._waits(step)]
        self._steps.clear()
        self._by_name = {step.name: step for step in kept if step.is_submitted}
        self._writers.clear()
        self._readers.clear()
        for step in kept:
            self._add(step)
        self._tidy_at = max(_FIRST_TIDYING, 2 * len(kept))


def _circle(data_unit: str, path: Sequence[str]) -> DescriptionError:
    shown = " -> ".join([data_unit, *path, data_unit])
    return DescriptionError(
        f"compute units would wait for one another's files for ever: {shown}; let one of them write to another data unit",
        key="output_data",
        value=data_unit,
    )
