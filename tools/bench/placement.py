"""What a placement costs, by the number of nodes: `python tools/bench/placement.py [--units N] [--nodes N ...]`.

The agent's core with as many simulated executors as there are nodes: they start nothing, units sleep on the simulated
clock for a second each. Measured is everything that the core does for a unit from claim to the report of its end, in
frames of the size that a busy agent sees; the units are single cores, two threads, and MPI units of four ranks in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

from pilot_agent.actions import Claim, Report, SendStart, SendSweep
from pilot_agent.core import AgentCore
from pilot_agent.events import (
    ClaimedUnit,
    Doorbell,
    Event,
    ExecutorEvents,
    ReportConfirmed,
    Swept,
    UnitsClaimed,
)
from pilot_agent.node.orders import EndRecord
from pilot_agent.scheduler.slots import NodeSpec
from pilot_protocol.compute_descriptions import UnitSpec

CORES = 16
RUN_S = 1.0
KINDS = {
    "single": [UnitSpec("/bin/sleep")],
    "mixed": [
        UnitSpec("/bin/sleep"),
        UnitSpec("/bin/sleep", threads_per_process=2),
        UnitSpec("/bin/sleep", number_of_processes=4, spmd_variation="mpi"),
    ],
}


@dataclass
class Simulation:
    """A core and what surrounds it; nothing of it costs anything but the core's own work, which alone is timed."""

    core: AgentCore
    units: Iterator[ClaimedUnit]
    now_s: float = 0.0
    spent_s: float = 0.0
    ended: int = 0
    placed: int = 0

    def __post_init__(self) -> None:
        self._running: list[tuple[int, str]] = []
        self._events: list[Event] = [Doorbell()]

    def run(self) -> None:
        """Go on until all units have ended."""
        while True:
            while self._events:
                self._handle(self._events.pop(0))
            if not self._running:
                return
            self.now_s += RUN_S
            self._events += self._end_all()

    def _handle(self, event: Event) -> None:
        began_s = time.perf_counter()
        actions = self.core.handle(event, self.now_s)
        self.spent_s += time.perf_counter() - began_s
        for action in actions:
            if isinstance(action, SendStart):
                self.placed += len(action.orders)
                self._running += [(action.executor, order["id"]) for order in action.orders]
            elif isinstance(action, SendSweep):
                self._events.append(Swept(action.executor, [name for name, _, _ in action.sweeps]))
            elif isinstance(action, Claim):
                self._events.append(UnitsClaimed(list(islice(self.units, action.want))))
            elif isinstance(action, Report):
                self._events.append(ReportConfirmed("1" * len(action.items)))

    def _end_all(self) -> Iterable[Event]:
        by_executor: dict[int, list[list[object]]] = {}
        for executor, name in self._running:
            by_executor.setdefault(executor, []).append([name, 1, _end(self.now_s), None])
        self.ended += len(self._running)
        self._running.clear()
        return [ExecutorEvents(executor, ended=ended) for executor, ended in by_executor.items()]


def _end(now_s: float) -> EndRecord:
    return EndRecord(
        code=0, signal=None, reason="", message="", t0=now_s - RUN_S, t1=now_s, user=0.0, system=0.0, rss_kb=1,
        cwd="", out="", err="", out_file="", err_file="",
    )  # fmt: skip


def measure(nodes: int, units: int, kind: str) -> Simulation:
    """Run units on so many simulated nodes."""
    specs = cycle(KINDS[kind])
    claimed = (ClaimedUnit(f"cu-{n}", 1, next(specs), {"id": f"cu-{n}"}) for n in range(units))
    simulation = Simulation(AgentCore([NodeSpec(CORES)] * nodes), claimed)
    simulation.run()
    if simulation.ended != units:
        raise RuntimeError(f"{simulation.ended} of {units} units ended")
    return simulation


def main() -> None:
    """Print a row for each number of nodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=100_000)
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 10, 100, 1000])
    options = parser.parse_args()
    print(f"{'units':8}{'nodes':>7}{'cores':>8}{'units/s':>10}{'µs each':>9}")
    for kind in KINDS:
        for nodes in options.nodes:
            spent_s = min(measure(nodes, options.units, kind).spent_s for _ in range(2))
            rate = options.units / spent_s
            print(f"{kind:8}{nodes:>7}{nodes * CORES:>8}{rate:>10.0f}{1e6 / rate:>9.1f}")


if __name__ == "__main__":
    main()
