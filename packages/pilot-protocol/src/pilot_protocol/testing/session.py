"""A session in memory: the operations, and the pilots."""

from __future__ import annotations

from itertools import count
from typing import Any, TypeVar

from pilot_protocol.operation import (
    Argument,
    BarrierError,
    FencedError,
    NoSessionError,
    Operation,
    PilotEndedError,
)

from .inputs import InputBook
from .pilots import MemoryPilot, sites_among
from .placing import Site
from .records import Queue, new_unit

T = TypeVar("T")


class MemorySession:
    """One session. Copy it with :func:`copy.deepcopy` for a server that comes back without its last writes."""

    _numbers = count(1)  # of the class: a copy must not give out the same epochs again

    def __init__(self) -> None:
        self.book = InputBook(self)
        self.pilots: dict[str, MemoryPilot] = {}
        self.absent: set[str] = set()
        """Pilots that have not synced since the server restarted; while there are any, nobody claims."""
        self._opened: list[bytes] = []
        self._attached: dict[str, list[str]] = {}

    def run(self, operation: Operation[T]) -> T:
        """Run an operation.

        Raises:
            CoordinationError: It is refused, see :mod:`pilot_protocol.operation`.
        """
        if not self._opened and operation.script not in {"open_session", "purge_session"}:
            raise NoSessionError("NOSESSION the session is not on this server")
        self.book.begin()
        run = getattr(self, f"_{operation.script}", None) or getattr(self.book.data, operation.script)
        reply = run(*operation.arguments)
        ended = {name: pilot.state for name, pilot in self.pilots.items() if pilot.has_ended}
        self.book.follow_up({name: "F" if state == "Failed" else "C" for name, state in ended.items()})
        return operation.parse(reply)

    def restart_server(self) -> None:
        """Act as if another server answers from now on."""
        for name, pilot in self.pilots.items():
            if pilot.lease:
                pilot.lease = "runs"
                self.absent.add(name)

    def pass_lease(self, name: str) -> None:
        """Act as if a pilot's lease has passed; the next sweep or beat ends it."""
        if self.pilots[name].lease:
            self.pilots[name].lease = "passed"

    # --- sessions

    def _open_session(self, protocol: str, lease_ms: int, _rebuilt: int) -> list[bytes]:
        self._opened = self._opened or [protocol.encode(), b"%d" % lease_ms, b"0"]
        return self._opened

    def _purge_session(self) -> int:
        vars(self).update(vars(MemorySession()))
        self.book = InputBook(self)
        return 0

    def _attach_service(self, service: str, mode: str, owner: str) -> list[bytes]:
        attached = [name for name in self._attached.get(service, []) if name != owner]
        self._attached[service] = [*attached, owner] if mode == "+" else attached
        self.book.must_place_again = mode == "+"
        mine = [pilot for pilot in self.pilots.values() if pilot.lease and pilot.service == service]
        self.book.left.update((owner, pilot.label) for pilot in mine if mode != "+")
        return [name.encode() for name in self._attached[service]]

    def _sweep(self) -> int:
        passed = sorted(name for name, pilot in self.pilots.items() if pilot.lease == "passed")
        if self.absent:
            return 0
        for name in passed:
            self._finish_pilot(name, "Failed")
        return len(passed)

    # --- pilots

    def _create_pilot(self, name: str, service: str, _description: bytes) -> int:
        pilot = self.pilots.setdefault(name, MemoryPilot())
        pilot.state, pilot.service = pilot.state or "Pending", pilot.service or service
        return 1

    def _register_pilot(self, name: str, instance: str, _lease_ms: int, *fields: Argument) -> list[Any]:
        pilot = self.pilots.setdefault(name, MemoryPilot())
        if pilot.has_ended:
            raise PilotEndedError(f"ENDED pilot {name} is {pilot.state}")
        if pilot.instance != instance:
            pilot.instance, pilot.epoch, pilot.claimed = instance, str(next(self._numbers)), (-1, [])
            pilot.describe(dict(zip(fields[::2], fields[1::2])))
        pilot.state, pilot.lease = "Running", "runs"
        self.book.must_place_again = True
        return [pilot.epoch.encode(), self._opened[0], 0]

    def _sync_pilot(self, name: str, epoch: str, _lease_ms: int, *told: Any) -> list[bytes]:
        self._current(name, epoch).lease = "runs"
        drop = [unit for unit, attempt in zip(told[::2], told[1::2]) if self._must_drop(name, unit, attempt)]
        gone = [unit for unit in self.book.held(name) if unit in drop or unit not in told[::2]]
        for unit in gone:
            self.book.units[unit].pilot = ""
        self.book.give_back(gone)
        self.absent.discard(name)
        self.pilots[name].claimed = (-1, [])
        return [unit.encode() for unit in drop]

    def _must_drop(self, pilot: str, name: str, attempt: int) -> bool:
        unit = self.book.units.get(name)
        if unit is None:
            return False
        if not unit.is_final and unit.attempt < attempt:
            self.book.adopt(name, pilot, attempt)
        return not (unit.is_held and unit.pilot == pilot and unit.attempt == attempt)

    def _beat_pilot(self, name: str, epoch: str, _lease_ms: int, seen: int, *_record: Argument) -> list[Any]:
        self._current(name, epoch).lease = "runs"
        self._sweep()
        return [0, int(name in self.absent), self._orders(name, seen), int(self.book.awaits_replicas)]

    def _end_pilot(self, name: str, epoch: str, state: str, _reason: str, _message: str) -> int:
        pilot = self.pilots.setdefault(name, MemoryPilot())
        if pilot.has_ended:
            return 0
        if epoch not in {"", pilot.epoch}:
            raise FencedError(f"FENCED pilot {name} has a newer epoch")
        self._finish_pilot(name, state)
        return 1

    def _finish_pilot(self, name: str, state: str) -> None:
        pilot = self.pilots[name]
        pilot.state, pilot.epoch, pilot.lease = state, str(next(self._numbers)), ""
        pilot.claimed, pilot.orders = (-1, []), []
        self.absent.discard(name)
        self.book.give_back(self.book.held(name))
        self.book.must_place_again = True
        self.book.left.update((owner, pilot.label) for owner in self._owners_for(name))

    def _control_pilot(self, name: str, order: bytes) -> int:
        pilot = self.pilots.setdefault(name, MemoryPilot())
        if pilot.has_ended:
            return 0
        pilot.orders.append((next(self._numbers), order))
        return 1

    def _orders(self, name: str, seen: int) -> list[bytes]:
        pilot = self.pilots[name]
        pilot.orders = [order for order in pilot.orders if order[0] > seen]
        return [b"%d %s" % order for order in pilot.orders]

    def _current(self, name: str, epoch: str) -> MemoryPilot:
        pilot = self.pilots.get(name, MemoryPilot())
        if pilot.has_ended:
            raise PilotEndedError(f"ENDED pilot {name} is {pilot.state}")
        if pilot.epoch != epoch:
            raise FencedError(f"FENCED pilot {name} has a newer epoch")
        return pilot

    # --- units

    def _submit_units(self, _group: str, owner: str, templates: int, *rest: Any) -> list[Any]:
        units = rest[2 * templates :]
        pilot = self.pilots.get(owner)
        if pilot and pilot.has_ended and not (units and units[0] in self.book.units):
            raise PilotEndedError(f"ENDED pilot {owner} is {pilot.state}")
        added, refused = 0, []
        for name, header, description in zip(units[::3], units[1::3], units[2::3]):
            if name in self.book.units:
                continue
            unit, predecessors = new_unit(header, description)
            if self.book.add(name, unit, predecessors):
                added += 1
            else:
                refused.append(name.encode())
        return [added, *refused]

    def _claim_units(self, name: str, epoch: str, number: int, *asked: int) -> list[Any]:
        pilot = self._current(name, epoch)
        if self.absent:
            raise BarrierError("BARRIER pilots are still coming back after a restart")
        most_units, most_cores, reserve, seen = asked
        if pilot.claimed[0] != number:
            pilot.claimed = (number, self._take(name, most_units, most_cores, bool(reserve)))
        reply: list[Any] = [0, self._orders(name, seen)]
        for taken in pilot.claimed[1]:
            unit = self.book.units[taken]
            if unit.letter == "A" and unit.pilot == name:
                reply += [taken.encode(), unit.attempt, unit.description]
        return reply

    def _take(self, name: str, most_units: int, most_cores: int, reserve: bool) -> list[str]:  # noqa: FBT001
        taken: list[str] = []
        pilot, cores = self.pilots[name], 0
        while len(taken) < most_units and most_cores > 0:
            queue = self._next_queue(name, None if reserve else most_cores)
            if queue is None:
                break
            unit = self.book.pop(queue)
            if unit is None:
                continue
            self.book.adopt(unit, name, self.book.units[unit].attempt + 1)
            taken.append(unit)
            cores += queue.cores
            if queue.cores > most_cores:
                reserve = False
            else:
                most_cores -= queue.cores
        if self.book.has_inputs:
            pilot.free = (pilot.free or 0) - cores
        return taken

    def _next_queue(self, name: str, most_cores: int | None) -> Queue | None:
        best = None
        for queue in self.book.queues(self._owners_for(name)):
            if self._may_take(name, queue) and (most_cores is None or queue.cores <= most_cores):
                rank = -queue.priority, self.book.first(queue)
                if best is None or rank < best[0]:
                    best = rank, queue
        return best[1] if best else None

    def _owners_for(self, name: str) -> list[str]:
        return [name, *self._attached.get(self.pilots[name].service, [])]

    def _may_take(self, name: str, queue: Queue) -> bool:
        pilot = self.pilots[name]
        return pilot.fits(queue) and (pilot.is_near(queue) or not self._can_be_near(queue))

    def _can_be_near(self, queue: Queue) -> bool:
        return any(pilot.is_near(queue) and pilot.fits(queue) for pilot in self.living(queue.owner))

    # --- what placing asks

    def has_ended(self, name: str) -> bool:
        """Tell whether a pilot has."""
        return self.pilots.get(name, MemoryPilot()).has_ended

    def is_attached(self, service: str, owner: str) -> bool:
        """Tell whether an owner's units use what a service has."""
        return owner in self._attached.get(service, [])

    def living(self, owner: str) -> list[MemoryPilot]:
        """Return the pilots that live and take an owner's units."""
        return [p for name, p in self.pilots.items() if p.lease and owner in self._owners_for(name)]

    def sites(self, queue: Queue) -> list[Site]:
        """Return the sites where a queue's units may run: those where they want to be, or all if there are none."""
        return sites_among([pilot for pilot in self.living(queue.owner) if pilot.fits(queue)], queue)

    # --- units, as their agents tell

    def _deliver_files(self, name: str, epoch: str, *rest: Any) -> list[str]:
        unit, attempt, data_unit, store, *files = rest
        known, pilot = self.book.units.get(unit), self.pilots.get(name, MemoryPilot())
        if known and known.is_final and (known.pilot, known.attempt) == (name, attempt):
            return ["over", ""]
        if known is None or known.is_final or pilot.has_ended or pilot.epoch != epoch:
            return ["stale", ""]
        if known.attempt < attempt:
            self.book.adopt(unit, name, attempt)
        if (known.pilot, known.attempt) != (name, attempt) or not known.is_held:
            return ["stale", ""]
        return self.book.data.deliver(data_unit, store, files)

    def _report_units(self, pilot: str, epoch: str, *rest: Any) -> list[Any]:
        known = self.pilots.get(pilot, MemoryPilot())
        current = known.epoch == epoch and not known.has_ended
        items = zip(rest[::4], rest[1::4], rest[2::4], rest[3::4])
        digits = [self.book.report(pilot, item, current=current) for item in items]
        return [0, int(current), "".join(digits).encode()]

    def _cancel_units(self, *rest: Any) -> str:
        return "".join(self._cancel(name, order) for name, order in zip(rest[::2], rest[1::2]))

    def _cancel(self, name: str, order: bytes) -> str:
        unit = self.book.units.get(name)
        if unit is None:
            return "3"
        if unit.is_final:
            return "2"
        if unit.is_held:
            if name not in self.book.canceling:
                self.book.canceling.add(name)
                self._control_pilot(unit.pilot, order)
            return "4"
        self.book.conclude(name, "C")
        return "1"
