"""Who starts next, and where: slots, waiting units, chains and the reservation together.

Works on records and returns a plan; frames, reports and timers are made of it elsewhere. Units go by priority, then
arrival. The first one that does not fit is held ahead by an executor if short units of its width run, else cores are
reserved for it, and only then may later units use what is free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pilot_agent.rate import Rates
from pilot_agent.unit_record import ASIDE, CHAINED, PLACED, WAITING, UnitRecord

from .chains import ChainRooms, Chains
from .node import NodeSpec
from .placement import Placement, Shape
from .plan import Plan
from .queue import WaitingQueue
from .reservation import MOST_OVERTAKES, Reservation
from .slots import Slots


class Scheduler:
    """The cores of a pilot and the units that want them.

    Args:
        nodes: What the pilot has.
        most_overtakes: See :mod:`pilot_agent.scheduler.reservation`.
    """

    def __init__(self, nodes: Sequence[NodeSpec], most_overtakes: int = MOST_OVERTAKES) -> None:
        self.slots = Slots(nodes)
        self.queue = WaitingQueue()
        self.chains = Chains(len(self.slots.node_of_executor))
        self.rates = Rates()
        self.reservation: Reservation | None = None
        self.aside: set[UnitRecord] = set()
        """Units that are not started here."""
        self.moved_s = 0.0
        """When a unit last came into the queue or left it for a core or an executor."""
        self._most_overtakes = most_overtakes
        self._serial = 0

    # --- waiting ---

    def add(self, record: UnitRecord, now_s: float) -> None:
        """Let a unit wait for a slot."""
        record.phase = WAITING
        record.executor = -1
        self.queue.push(record)
        self.moved_s = now_s

    def remove_waiting(self, record: UnitRecord) -> None:
        """Take out a waiting unit."""
        self.queue.remove(record)
        if self.reservation is not None and self.reservation.record is record:
            self.reservation = None

    def _put_aside(self, record: UnitRecord) -> None:
        self.remove_waiting(record)
        record.phase = ASIDE
        self.aside.add(record)

    def surplus(self) -> Iterable[UnitRecord]:
        """Yield waiting units that could not start even if all free cores suited them, the last first.

        The one that goes next is kept where it needs more than any single core: cores are being kept for it. So is what
        has data.
        """
        over = self.queue.cores - self.slots.free_cores
        head = self.queue.first()
        for record in self.queue.last_first():
            if over <= 0 or (record is head and not record.shape.is_plain):
                return
            over -= record.shape.cores
            if record.data is None:
                yield record

    # --- the turn ---

    def plan(self, now_s: float, longest_s: float) -> Plan:
        """Give out what is free.

        Args:
            now_s: The time.
            longest_s: Units with a longer walltime are not started.
        """
        plan = Plan()
        if self.chains.count and self.slots.free_cores:
            self._release_stranded(plan, now_s)
        if len(self.queue):
            self._serve_queue(plan, now_s, longest_s)
        if self.chains.count and self.slots.free_cores:
            self._release_chained(plan, now_s)
        if plan.placed or plan.chained or plan.released:
            self.moved_s = now_s
        return plan

    def _release_stranded(self, plan: Plan, now_s: float) -> None:
        """Give cores to units whose executor runs nothing of their width any more: their turn would never come.

        The cores for them are there, since the last unit of their width has just left some.
        """
        for executor, width in self.chains.widths():
            if not self.chains.runs_at(executor, width):
                placement = self._free_for(executor, width)
                if placement is not None:
                    self._release(executor, width, placement, plan, now_s)

    def _release_chained(self, plan: Plan, now_s: float) -> None:
        """Give cores that nothing waits for to units that are held ahead.

        An executor starts them on its own cores only. On another one's, half of what it holds comes back, to be given
        out anew: else the other would fall idle for good, since executors hold ahead as much as they run.
        """
        for executor, width in self.chains.widths():
            while (placement := self._free_for(executor, width)) is not None:
                if self.slots.executor_of(placement) != executor:
                    self._recall_half(executor, width, placement, plan)
                    break
                self._release(executor, width, placement, plan, now_s)

    def _free_for(self, executor: int, width: int) -> Placement | None:
        record = self.chains.newest(executor, width)
        return self.slots.take_on(self.slots.node_of_executor[executor], record.shape) if record else None

    def _recall_half(self, executor: int, width: int, placement: Placement, plan: Plan) -> None:
        line = list(self.chains.lines[executor][width].values())
        self.slots.give(placement, line[0].shape)
        if not self.chains.retracting and not plan.recalled:
            plan.recalled = line[len(line) // 2 :]

    def _release(self, executor: int, width: int, placement: Placement, plan: Plan, now_s: float) -> None:
        record = self.chains.newest(executor, width)
        if record is None:
            return
        self.chains.remove(record)
        self._note_overtaker(record, placement)
        self._occupy(record, placement, executor, now_s)
        plan.released.append(record)

    def _serve_queue(self, plan: Plan, now_s: float, longest_s: float) -> None:
        rooms = ChainRooms(self.chains, self.rates, self.slots, now_s)
        blocked: set[Shape] = set()
        while True:
            record = self.queue.first(blocked)
            if record is None:
                return
            if record.walltime_s > longest_s or not self._may_fit(record):
                self._put_aside(record)
                plan.aside.append(record)
            elif self._place(record, now_s):
                plan.placed.append(record)
            elif not blocked and self._chain(record, rooms):
                plan.chained.append(record)
            elif not self.slots.free_cores:
                return
            else:
                if not blocked and not rooms.serves(record):
                    self._reserve(record)
                blocked.add(record.shape)

    def _may_fit(self, record: UnitRecord) -> bool:
        return not self.slots.gone or self.slots.fits_ever(record.shape)

    def _place(self, record: UnitRecord, now_s: float) -> bool:
        if not self.slots.free_cores:
            return False
        placement = self._find(record)
        if placement is None:
            return False
        self.remove_waiting(record)
        self._occupy(record, placement, self.slots.executor_of(placement), now_s)
        return True

    def _find(self, record: UnitRecord) -> Placement | None:
        reservation, shape = self.reservation, record.shape
        if reservation is None or record is reservation.record or record.goes_before(reservation.record):
            return self.slots.take(shape)
        placement = self.slots.take(shape, reservation.bitmap)
        if placement is None:
            placement = self.slots.take_on_first(reservation.with_spare(shape), shape)
        if placement is None and reservation.overtakes_left:
            placement = self.slots.take(shape)
        if placement is not None:
            self._note_overtaker(record, placement)
        return placement

    def _note_overtaker(self, record: UnitRecord, placement: Placement) -> None:
        """Count a unit that takes cores on a reserved node although it stands behind."""
        reservation = self.reservation
        if reservation is None or record.goes_before(reservation.record):
            return
        if not any(reservation.holds(node) for node in placement.nodes):
            return
        if reservation.has_spare(placement.node, record.shape):
            reservation.enter(record, placement.node)
        else:
            reservation.record.overtaken += 1

    def _chain(self, record: UnitRecord, rooms: ChainRooms) -> bool:
        executor = rooms.take(record)
        if executor < 0:
            return False
        self.remove_waiting(record)
        record.phase = CHAINED
        record.executor = executor
        self.chains.add(record, executor)
        return True

    def _reserve(self, record: UnitRecord) -> None:
        if self.reservation is None or self.reservation.record is not record:
            shares = self.slots.roomiest(record.shape)
            if shares:  # else nodes are missing, and may come back
                self._serial += 1
                self.reservation = Reservation(
                    self._serial, record, shares, self.slots.nodes, self._most_overtakes
                )

    def lose_executor(self, executor: int) -> None:
        """Let nothing start where an executor is lost; what was kept there is to be kept elsewhere."""
        self.slots.lose_executor(executor)
        if self.reservation is not None and self.reservation.holds(
            self.slots.node_of_executor[executor].index
        ):
            self.reservation = None

    def _occupy(self, record: UnitRecord, placement: Placement, executor: int, now_s: float) -> None:
        record.placement = placement
        record.executor = executor
        if placement.others:
            record.far_executors = tuple(
                sorted({*map(self.slots.executor_of, placement.others)} - {executor})
            )
        if record.is_alone:
            return
        width = record.shape.cores
        self.chains.start(executor, width)
        if self.chains.runs(width) == 1:
            self.rates.resume(width, now_s)

    # --- the end ---

    def vacate(self, record: UnitRecord) -> None:
        """Take back the slot of a unit, or its place in a chain or among those put aside."""
        if record.phase == CHAINED:
            self.chains.remove(record)
        elif record.phase == ASIDE:
            self.aside.remove(record)
        placement = record.placement
        if placement is None:
            return
        if record.guest_of and self.reservation is not None:
            self.reservation.leave(record, placement.node)
        if not record.is_alone:
            self.chains.end(record.executor, record.shape.cores)
        self.slots.give(placement, record.shape)
        record.placement = None

    def hand_over(self, record: UnitRecord, successor: UnitRecord) -> None:
        """Give the cores of a unit that has ended to the one that its executor has started on them."""
        placement = record.placement
        is_successor = record.executor == successor.executor and record.shape.cores == successor.shape.cores
        if placement is None or not is_successor:
            self.vacate(record)
            return
        was_chained = successor.phase == CHAINED
        if was_chained:
            self.chains.remove(successor)
        else:  # it was given cores of its own, but that news came too late
            self.vacate(successor)
        if self.reservation is not None:
            self._pass_on(self.reservation, record, successor, was_chained=was_chained)
        if record.shape.gpus or record.shape.memory_mb:
            self.slots.give_gpus_and_memory(placement.first, record.shape)
            placement = Placement(placement.node, placement.cores)
        record.placement = None
        successor.placement = placement
        successor.phase = PLACED

    def _pass_on(
        self, reservation: Reservation, record: UnitRecord, successor: UnitRecord, *, was_chained: bool
    ) -> None:
        """Let the successor of a guest be a guest; another one has overtaken the unit that waits."""
        placement = record.placement
        if placement is None or not reservation.holds(placement.node):
            return
        if record.guest_of == reservation.serial:
            reservation.leave(record, placement.node)
            reservation.enter(successor, placement.node)
        elif was_chained and not successor.goes_before(reservation.record):
            reservation.record.overtaken += 1
