"""Replica exchange (parallel tempering): copies of a fluid at several temperatures, which they swap between cycles.

    python examples/replica_exchange.py [--mode sync|async] [--replicas 4] [--cycles 4] [--seed 7]

Each cycle of a replica is one MPI unit that runs LAMMPS from the restart file of the cycle before, which it gets as a data unit. Two replicas at neighboring
temperatures swap these with the probability min(1, exp((1/T1 - 1/T2) (E1 - E2))), in units where Boltzmann's constant is 1: this
is detailed balance for all replicas together, and keeps the distribution of each temperature (Sugita and Okamoto, Chem. Phys.
Lett. 314, 141 (1999)). E is the potential energy alone: velocities are multiplied by sqrt(new/old) when a replica has swapped,
and so the kinetic energies cancel.

With `sync`, all replicas end a cycle before any of them swaps. With `async` nobody waits for all: a replica that has ended its
cycle swaps with a neighbor that waits too, or goes on alone when no neighbor is on its way. The same `--seed` gives the same
run with `sync`; with `async` only where the replicas end in the same order, as who swaps with whom depends on the clock (and not
on energies, which would spoil the balance).

Needs LAMMPS (`lmp`) and an MPI, for example Debian's lammps and openmpi-bin.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from pilot import ComputeDataService, ComputeUnit, DataUnit, PilotComputeService, PilotDataService

FLUID = Path(__file__).with_name("fluid.lmp")
COLDEST, RATIO = 1.0, 1.05
STEPS = 50


@dataclass
class Replica:
    """One copy of the fluid."""

    number: int
    level: int
    """Index of its temperature."""
    cycles: int = 0
    """How many it has run."""
    energy: float = 0.0
    """Potential energy when the last one ended."""
    velocity_factor: float = 1.0
    """What its velocities are multiplied by before the next one."""
    restart: DataUnit | None = None
    """The file that the last one has left."""


@dataclass
class Ladder:
    """The temperatures, who may swap them, and what became of it."""

    temperatures: list[float]
    chance: random.Random
    attempts: Counter[int] = field(default_factory=Counter)
    """By the lower one of the two levels."""
    swaps: Counter[int] = field(default_factory=Counter)

    def attempt(self, one: Replica, other: Replica) -> None:
        """Let two neighbors swap their temperatures, if chance will have it."""
        lower = min(one.level, other.level)
        self.attempts[lower] += 1
        if self.chance.random() < self.probability(one, other):
            self.swaps[lower] += 1
            factor = math.sqrt(self.temperatures[other.level] / self.temperatures[one.level])
            one.velocity_factor, other.velocity_factor = factor, 1 / factor
            one.level, other.level = other.level, one.level

    def probability(self, one: Replica, other: Replica) -> float:
        """Return the probability of a swap."""
        difference = 1 / self.temperatures[one.level] - 1 / self.temperatures[other.level]
        return math.exp(min(0.0, difference * (one.energy - other.energy)))


class Exchange:
    """Replicas, and the units that they run as.

    Args:
        work: Where units are submitted.
        temperatures: One for each replica, from the coldest up.
        cycles: How many each replica runs.
        seed: Of everything that is left to chance.
    """

    def __init__(self, work: ComputeDataService, temperatures: list[float], cycles: int, seed: int) -> None:
        self.ladder = Ladder(temperatures, random.Random(seed))
        self.replicas = [Replica(number, number) for number in range(len(temperatures))]
        self._work, self._cycles, self._seed = work, cycles, seed
        self._running: dict[ComputeUnit, Replica] = {}

    def run_in_step(self) -> None:
        """Swap when all replicas have ended a cycle: pairs (0, 1), (2, 3) and pairs (1, 2) in turn."""
        for cycle in range(self._cycles):
            self._start(self.replicas)
            while self._running:
                self._next_to_end()
            by_level = sorted(self.replicas, key=lambda replica: replica.level)
            for one, other in zip(by_level[cycle % 2 :: 2], by_level[cycle % 2 + 1 :: 2], strict=False):
                self.ladder.attempt(one, other)

    def run_out_of_step(self) -> None:
        """Swap as soon as two neighbors have ended a cycle, unless one of them has a better one on its way."""
        waiting: list[Replica] = []
        self._start(self.replicas)
        while self._running:
            waiting.append(self._next_to_end())
            while next_ones := self._who_goes_on(waiting):
                waiting = [replica for replica in waiting if replica not in next_ones]
                if len(next_ones) == 2:
                    self.ladder.attempt(*next_ones)
                self._start(next_ones)

    def _who_goes_on(self, waiting: list[Replica]) -> list[Replica]:
        """Return two neighbors that swap now, else one that has no neighbor any more; nothing when all had better wait."""
        pairs = [[one, other] for one in waiting for other in waiting if other.level == one.level + 1]
        for pair in sorted(pairs, key=lambda pair: self.ladder.attempts[pair[0].level]):
            if not any(self._has_better_coming(replica, pair[0].level) for replica in pair):
                return pair
        others = [*waiting, *self._running.values()]
        return next(([one] for one in waiting if not any(abs(one.level - r.level) == 1 for r in others)), [])

    def _has_better_coming(self, replica: Replica, lower: int) -> bool:
        """Tell whether a neighbor is on its way with which there were fewer attempts than between these levels."""
        coming = [
            min(replica.level, other.level)
            for other in self._running.values()
            if abs(replica.level - other.level) == 1
        ]
        return any(self.ladder.attempts[level] < self.ladder.attempts[lower] for level in coming)

    def _start(self, replicas: list[Replica]) -> None:
        going_on = [replica for replica in replicas if replica.cycles < self._cycles]
        units = self._work.submit_compute_units([self._described(replica) for replica in going_on])
        self._running.update(zip(units, going_on, strict=True))

    def _next_to_end(self) -> Replica:
        """Wait until any of the units has ended; return its replica with its new energy."""
        unit = next(self._work.as_completed(self._running), None)
        if unit is None:
            raise RuntimeError(f"the pilot has ended before {len(self._running)} replicas that were running")
        replica = self._running.pop(unit)
        line = next(line for line in unit.result().stdout().splitlines() if line.startswith("RESULT "))
        replica.energy = float(line.split()[3])
        replica.cycles += 1
        replica.velocity_factor = 1.0
        return replica

    def _described(self, replica: Replica) -> dict[str, object]:
        variables = {
            "temperature": self.ladder.temperatures[replica.level],
            "velocity_factor": replica.velocity_factor,
            "seed": self._seed + 1 + replica.number + len(self.replicas) * replica.cycles,
            "steps": STEPS,
            "run": replica.cycles,
            "files": "restart",
        }
        words = [word for name, value in variables.items() for word in ("-var", name, str(value))]
        before, replica.restart = replica.restart, self._work.submit_data_unit({})
        return {
            "executable": "lmp",
            "arguments": ["-in", str(FLUID), "-log", "none", *words],
            "spmd_variation": "mpi",
            "name": f"replica {replica.number}, cycle {replica.cycles + 1}",
            "input_data": [before] if before is not None else [],
            "output_data": [{replica.restart: [f"restart.{replica.cycles}"]}],
        }


def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of whole numbers that are not less."""

    def parsed(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return parsed


def print_table(exchange: Exchange) -> None:
    """Print how often neighbors tried to swap and did, and where each replica ended."""
    ladder = exchange.ladder
    print("temperatures    attempts  swaps  acceptance")
    for lower, (cold, warm) in enumerate(pairwise(ladder.temperatures)):
        attempts, swaps = ladder.attempts[lower], ladder.swaps[lower]
        acceptance = f"{swaps / attempts:.2f}" if attempts else "-"
        print(f"{cold:.2f} <-> {warm:.2f}  {attempts:8}  {swaps:5}  {acceptance:>10}")
    ended = ", ".join(f"{ladder.temperatures[replica.level]:.2f}" for replica in exchange.replicas)
    print(f"the replicas ended at {ended}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Replica exchange with LAMMPS.")
    parser.add_argument("--mode", choices=["sync", "async"], default="sync")
    parser.add_argument("--replicas", type=at_least(2), default=4)
    parser.add_argument("--cycles", type=at_least(1), default=4)
    parser.add_argument("--seed", type=at_least(0), default=7)
    options = parser.parse_args()
    temperatures = [COLDEST * RATIO**level for level in range(options.replicas)]
    with (
        tempfile.TemporaryDirectory() as folder,
        PilotComputeService() as pilots,
        PilotDataService() as stores,
        ComputeDataService() as work,
    ):
        pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "walltime": 10})
        stores.create_pilot({"service_url": f"file://{folder}/store"})
        work.add_pilot_compute_service(pilots)
        work.add_pilot_data_service(stores)
        exchange = Exchange(work, temperatures, options.cycles, options.seed)
        if options.mode == "sync":
            exchange.run_in_step()
        else:
            exchange.run_out_of_step()
    print(f"{options.mode}: {len(exchange.replicas)} replicas, {options.cycles} cycles each")
    print_table(exchange)


if __name__ == "__main__":
    main()
