"""The compute units of one owner of queues, a pilot or a compute-data service: submitting and listing them.

Units travel in batches, each in one script. The ids of a group have no gaps, so that listing needs no index: when it is
not sure that Redis took a batch, the group ends there and the next unit begins another one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice

from pilot_protocol import reads, unit_payloads
from pilot_protocol.errors import DescriptionError, StateError, UnsatisfiableRequestError
from pilot_protocol.operation import BATCH, PilotEndedError
from pilot_session.identifiers import new_group

from .compute_unit import ComputeUnit
from .data_cycles import Step
from .data_lookup import check_data_units, unknown_data_units
from .following import follow_units
from .session import Session
from .tracked_pilot import Shortage, TrackedPilot, shortage
from .tracker import UnitGroup
from .unit_preparation import PreparedUnit, prepare

Descriptions = Iterable[Mapping[str, object]]


class OwnedUnits:
    """Units submitted through one object.

    Args:
        session: Where they live.
        owner: The pilot or compute-data service.
        pilots: Returns the pilots that may take them, ended ones too.
    """

    def __init__(self, session: Session, owner: str, pilots: Callable[[], Iterable[TrackedPilot]]) -> None:
        self.session = session
        self._owner = owner
        self._pilots = pilots
        self._group: UnitGroup | None = None
        self._process = os.getpid()
        self._lock = threading.Lock()

    def submit(self, descriptions: Descriptions) -> list[ComputeUnit]:
        """Submit units, see `ComputeDataService.submit_compute_units`."""
        self.session.listen()
        admitted: list[Step] = []
        try:
            batches = self._prepared(descriptions, admitted)
            if isinstance(descriptions, Collection):
                batches = _used_up(list(batches))  # nothing is sent unless all of it is good
            return [unit for batch in batches for unit in self._send(batch)]
        finally:
            self.session.flow.withdraw(admitted)

    def every(self) -> list[ComputeUnit]:
        """Return every unit of the owner, whoever submitted it."""
        self.session.listen()
        return [
            ComputeUnit.of(self.session, group, number)
            for group in follow_units(self.session, self._owner)
            for number in range(len(group.codes))
            if group.is_followed(number)
        ]

    def _prepared(self, descriptions: Descriptions, admitted: list[Step]) -> Iterator[list[PreparedUnit]]:
        session, items = self.session, iter(descriptions)
        while chunk := list(islice(items, BATCH)):
            batch = [prepare(session.id, self._owner, description) for description in chunk]
            self._check_sizes(batch)
            self._check_predecessors({name for unit in batch for name in unit.step.predecessors})
            check_data_units(
                session,
                {name for unit in batch for name in unit.step.inputs},
                {name for unit in batch for name in unit.step.outputs},
            )
            admitted += session.flow.admit(unit.step for unit in batch)
            yield batch

    def _check_sizes(self, batch: list[PreparedUnit]) -> None:
        """Refuse units that no pilot could ever run; before there is one, any size may still come."""
        live = [pilot for pilot in self._pilots() if pilot.is_live]
        if not live:
            return
        shortages = {shape: shortage(shape, live) for shape in {unit.shape for unit in batch}}
        for unit in batch:
            short = shortages[unit.shape]
            if short is not None:
                raise UnsatisfiableRequestError(
                    unit.step.name, short.needed, f"{_who(short, live)} has {short.largest}"
                )

    def _check_predecessors(self, names: set[str]) -> None:
        """Refuse units that wait for something unknown; what this process has submitted needs no look-up."""
        unsure = sorted(name for name in names if not self._is_known(name))
        for start in range(0, len(unsure), BATCH):
            part = unsure[start : start + BATCH]
            records = self.session.query(reads.units(self.session.keys, part))
            unknown = [name for name, record in zip(part, records, strict=True) if record is None]
            if unknown:
                raise _unknown_predecessors(unknown)

    def _is_known(self, name: str) -> bool:
        group, number = self.session.tracker.group_of(name)
        return group is not None and group.is_followed(number)

    def _send(self, batch: list[PreparedUnit]) -> list[ComputeUnit]:
        tracker = self.session.tracker
        with self._own_lock():
            group = self._group or tracker.new_group(new_group(), self._owner)
            self._group = None  # until Redis has taken the batch
            first = tracker.reserve(group, len(batch))
            group.shapes.update(unit.shape for unit in batch)
            group.reads_data = group.reads_data or any(unit.step.inputs for unit in batch)
            try:
                self._hand_over(group, first, batch)
            except BaseException:
                tracker.withdraw(group, first)
                raise
            tracker.confirm(group, first, len(batch))
            self._group = group
        return [ComputeUnit.of(self.session, group, first + index) for index in range(len(batch))]

    def _hand_over(self, group: UnitGroup, first: int, batch: list[PreparedUnit]) -> None:
        names = [group.unit_id(first + index) for index in range(len(batch))]
        templates, sealed = unit_payloads.pack(self.session.seal, names, [unit.payload for unit in batch])
        units = [unit.numbered(name, record) for unit, name, record in zip(batch, names, sealed, strict=True)]
        store = self.session.store
        try:
            reply = store.submit(group.name, self._owner, units, templates)
        except PilotEndedError as error:
            raise StateError(f"{error}: it takes no more compute units; submit to another pilot") from error
        if reply.refused:  # the server has lost what was there a moment ago
            store.cancel(names)
            raise _refusal(batch)
        self.session.flow.confirm((unit.step for unit in batch), names)

    def _own_lock(self) -> threading.Lock:
        """Return the lock for this process's group: a forked child must not number units of its parent's."""
        if self._process != os.getpid():
            self._process, self._group, self._lock = os.getpid(), None, threading.Lock()
        return self._lock


def _who(short: Shortage, live: Collection[TrackedPilot]) -> str:
    if short.pilot is None:
        return "no pilot"
    return f"pilot {short.pilot.id}" if len(live) == 1 else f"the largest pilot, {short.pilot.id},"


def _used_up(batches: list[list[PreparedUnit]]) -> Iterator[list[PreparedUnit]]:
    """Yield batches and let go of them."""
    batches.reverse()
    while batches:
        yield batches.pop()


def _refusal(batch: list[PreparedUnit]) -> DescriptionError:
    """Return the error for units that name something unknown, which the server had when it was asked before."""
    data_units = {name for unit in batch for name in unit.step.inputs + unit.step.outputs}
    predecessors = {name for unit in batch for name in unit.step.predecessors}
    return _unknown_predecessors(predecessors) if predecessors else unknown_data_units(data_units)


def _unknown_predecessors(names: Collection[str]) -> DescriptionError:
    shown = ", ".join(sorted(names)[:5])
    return DescriptionError(
        f"depends_on names {shown}, which this session does not have; give compute units that were submitted, "
        "or their ids",
        key="depends_on",
        value=shown,
    )
