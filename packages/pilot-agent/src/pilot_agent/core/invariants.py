"""Whether an agent's books agree: for tests, and to be looked at when something is wrong. Costs a scan of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from pilot_agent.scheduler.node import Node
from pilot_agent.scheduler.placement import GPU, WHOLE_NODES, Part, Placement
from pilot_agent.scheduler.reservation import Spare
from pilot_agent.scheduler.scheduler import Scheduler
from pilot_agent.unit_record import ASIDE, CHAINED, CONFIRMING, PLACED, STAGING, SWEEPING, WAITING, UnitRecord

from .unit_table import UnitTable


def check(table: UnitTable, *, starts_units: bool = True) -> None:
    """Look at all the books.

    Args:
        table: The units of an agent.
        starts_units: Whether the agent starts units now; chains may be orphaned where it does not.

    Raises:
        AssertionError: Two of them disagree; the message says which.
    """
    records = list(table.records.values())
    for record in records:
        _check_phase(record, table)
    for node in table.scheduler.slots.nodes:
        _check_node(node, [record for record in records if _is_on(record, node)])
    _check_counts(table.scheduler, records)
    _check_reservation(table.scheduler, records)
    _check_staging(table, records)
    _check_reports(table)
    if starts_units:
        for executor, width in table.scheduler.chains.widths():
            runs = table.scheduler.chains.runs_at(executor, width)
            _require(runs > 0, f"executor {executor} holds units of width {width} ahead, but runs none")


def _require(holds: bool, message: str) -> None:  # noqa: FBT001 - reads as an assertion
    if not holds:
        raise AssertionError(message)


def _is_on(record: UnitRecord, node: Node) -> bool:
    return record.placement is not None and node.index in record.placement.nodes


def _check_phase(record: UnitRecord, table: UnitTable) -> None:
    chains = table.scheduler.chains
    line = chains.lines[record.executor].get(record.shape.cores, {}) if record.executor >= 0 else {}
    where = [
        name
        for name, is_there in (
            (STAGING, record in table.staging),
            (WAITING, record in table.scheduler.queue),
            (CHAINED, line.get(record.id) is record),
            (CHAINED, chains.retracting.get(record.id) is record),
            (PLACED, record.placement is not None),
            (ASIDE, record in table.scheduler.aside),
        )
        if is_there
    ]
    expected = PLACED if record.phase in (CONFIRMING, SWEEPING) else record.phase
    _require(where == [expected], f"{record!r} is found as {where}")
    _require(
        record.is_retracting == (record.id in chains.retracting), f"{record!r} is or is not being retracted"
    )
    needs_order = record.phase not in (PLACED, SWEEPING)
    _require((record.order is not None) == needs_order, f"{record!r} has or lacks its order")
    if record.placement is not None:
        _check_placement(record, record.placement)


def _check_placement(record: UnitRecord, placement: Placement) -> None:
    shape = record.shape
    count = sum(bin(part.cores).count("1") for part in placement.parts)
    has_enough = count >= shape.cores if shape.policy == WHOLE_NODES else count == shape.cores
    _require(has_enough, f"{record!r} has {count} cores")
    ranks = sum(part.ranks for part in placement.parts)
    _require(ranks == shape.ranks, f"{record!r} has room for {ranks} ranks")
    nodes = list(placement.nodes)
    _require(nodes == sorted(nodes), f"{record!r} begins on another node than the first of its nodes")


def _check_node(node: Node, records: Iterable[UnitRecord]) -> None:
    taken, memory_mb = 0, 0
    gpus = [GPU] * node.spec.gpus
    for record, part in _parts_on(node, records):
        _require(not taken & part.cores, f"a core of {record!r} is taken twice")
        taken |= part.cores
        need = record.shape.rank
        memory_mb += part.ranks * need.memory_mb
        for gpu in part.gpus:
            gpus[gpu] -= min(need.gpus, GPU)
    everything = (1 << node.spec.cores) - 1
    _require(node.free == everything ^ taken, f"node {node.index}: free {node.free:b}, taken {taken:b}")
    _require(node.free_count == bin(node.free).count("1"), f"node {node.index}: {node.free_count} cores free")
    left = [GPU if gpu in node.gpus.whole else node.gpus.shared.get(gpu, 0) for gpu in range(node.spec.gpus)]
    _require(gpus == left, f"node {node.index}: thousandths of GPUs {left} are free, not {gpus}")
    _require(
        node.free_memory_mb == node.spec.memory_mb - memory_mb, f"node {node.index}: {memory_mb} MB taken"
    )


def _parts_on(node: Node, records: Iterable[UnitRecord]) -> Iterator[tuple[UnitRecord, Part]]:
    for record in records:
        for part in record.placement.parts if record.placement is not None else ():
            if part.node == node.index:
                yield record, part


def _check_counts(scheduler: Scheduler, records: Iterable[UnitRecord]) -> None:
    waiting = [record for record in records if record.phase == WAITING]
    chained = [record for record in records if record.phase == CHAINED]
    _require(len(scheduler.queue) == len(waiting), f"{len(scheduler.queue)} units wait, not {len(waiting)}")
    cores = sum(record.shape.cores for record in waiting)
    _require(
        scheduler.queue.cores == cores, f"waiting units ask for {cores} cores, not {scheduler.queue.cores}"
    )
    aside = sum(record.phase == ASIDE for record in records)
    _require(len(scheduler.aside) == aside, f"{len(scheduler.aside)} units are put aside, not {aside}")
    count = scheduler.chains.count + len(scheduler.chains.retracting)
    _require(count == len(chained), f"{count} units are chained, not {len(chained)}")
    running = Counter(
        (record.executor, record.shape.cores)
        for record in records
        if record.placement is not None and not record.is_alone
    )
    counted = {
        (executor, width): number
        for width, numbers in scheduler.chains.running.items()
        for executor, number in numbers.items()
    }
    _require(counted == dict(running), f"executors run {dict(running)}, not {counted}")
    for width in {width for _, width in running}:
        total = sum(number for (_, other), number in running.items() if other == width)
        _require(scheduler.chains.runs(width) == total, f"{total} units of width {width} run")
    for width in {record.shape.cores for record in chained}:
        held = sum(record.shape.cores == width and not record.is_retracting for record in chained)
        _require(scheduler.chains.waits(width) == held, f"{held} units of width {width} are held ahead")
    free = sum(node.free_count for node in scheduler.slots.nodes if node.alive)
    _require(scheduler.slots.free_cores == free, f"{free} cores are free, not {scheduler.slots.free_cores}")


def _check_reservation(scheduler: Scheduler, records: Iterable[UnitRecord]) -> None:
    reservation = scheduler.reservation
    if reservation is None:
        return
    _require(
        reservation.record in scheduler.queue, f"{reservation.record!r} has a reservation, but does not wait"
    )
    for index, spare in reservation.spares.items():
        node, ranks = scheduler.slots.nodes[index], reservation.shares[index]
        guests = [
            record for record in records if record.guest_of == reservation.serial and _is_on(record, node)
        ]
        left = Spare(node, reservation.record.shape, ranks).cores - sum(guest.shape.cores for guest in guests)
        _require(
            spare.cores == left, f"the reservation leaves {left} cores on node {index}, not {spare.cores}"
        )
        _require(left >= 0, f"guests took {-left} reserved cores of node {index}")


def _check_staging(table: UnitTable, records: Iterable[UnitRecord]) -> None:
    staging = [record for record in records if record.phase == STAGING]
    cores = sum(record.shape.cores for record in staging)
    _require(len(table.staging) == len(staging), f"{len(table.staging)} units are staged, not {len(staging)}")
    _require(table.staging.cores == cores, f"staged units want {cores} cores, not {table.staging.cores}")


def _check_reports(table: UnitTable) -> None:
    said = [*table.reports.pending(), *table.deliveries.items()]
    ends = Counter((item.id, item.attempt) for item in said if item.letter not in ("R", "S"))
    for (unit_id, attempt), count in ends.items():
        _require(count == 1, f"the end of {unit_id}:{attempt} is reported {count} times")
        record = table.records.get(unit_id)
        _require(
            record is None or record.attempt != attempt,
            f"{unit_id}:{attempt} was reported, but is still here",
        )
