"""Random mixes of units on the emulated cluster: which rank ran where and when, and how well the cores were used.

Each rank writes down its host, its affinity mask, its start and its end. All hosts share one clock, so what is written shows
whether a core was ever used twice.
"""

from __future__ import annotations

import heapq
import random
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

from node_bench import NodeBench
from pilot_agent.actions import SendStart, SendSweep
from pilot_agent.core import AgentCore
from pilot_agent.events import ClaimedUnit, Event, ExecutorEvents, Swept, UnitsClaimed
from pilot_agent.lrms.host_lists import expand_numbers
from pilot_agent.node.orders import EndRecord
from pilot_agent.scheduler.slots import NodeSpec
from pilot_protocol.specs import UnitSpec
from protocol_client import Request

UNITS = 10
"""Of one mix."""

_PROGRAM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
static double now(void) { struct timespec t; clock_gettime(CLOCK_REALTIME, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(int count, char **words) {
    char host[64], cpus[256] = "", line[512];
    const char *rank = getenv("PILOT_RANK");
    cpu_set_t mask;
    double began = now();
    gethostname(host, sizeof host);
    sched_getaffinity(0, sizeof mask, &mask);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &mask)) sprintf(cpus + strlen(cpus), "%s%d", *cpus ? "," : "", cpu);
    usleep(atof(words[2]) * 1e6);
    int size = sprintf(line, "%s %s %s %s %.6f %.6f\n", getenv("PILOT_UNIT_ID"), rank ? rank : "0", host, cpus, began, now());
    int file = open(words[1], O_WRONLY | O_APPEND | O_CREAT, 0600);
    return write(file, line, size) != size;
}
"""


class RankRun(NamedTuple):
    """What one rank has written."""

    unit: str
    rank: int
    host: str
    cpus: tuple[int, ...]
    began_s: float
    ended_s: float


class Outcome(NamedTuple):
    """One mix that has run.

    Attributes:
        runs: Its ranks.
        real_s: From the first start of a unit to the last end.
        ideal_s: The same, if the agent knew and did everything at once: the same units, as long as they ran.
    """

    runs: list[RankRun]
    real_s: float
    ideal_s: float


def compile_program(folder: Path) -> Path:
    """Compile what the ranks run; returns its path."""
    source, program = folder / "rank.c", folder / "rank"
    source.write_text(_PROGRAM)
    subprocess.run(["gcc", "-O1", "-o", program, source], check=True)
    return program


def shapes(chance: random.Random, nodes: int, cores: int) -> Iterator[UnitSpec]:
    """Yield random shapes that fit on so many nodes with so many cores each."""
    while True:
        threads = chance.randint(1, cores)
        if chance.random() < 0.4:
            yield UnitSpec("", threads_per_process=threads)
            continue
        ranks = chance.randint(1, nodes * (cores // threads))
        policy = chance.choice(["pack", "pack", "spread", "whole_nodes"])
        yield UnitSpec(
            "", number_of_processes=ranks, threads_per_process=threads, spmd_variation="mpi", placement=policy
        )


def run_mix(bench: NodeBench, program: Path, chance: random.Random, nodes: int, cores: int) -> Outcome:
    """Run a mix, and return what it has left.

    Raises:
        AssertionError: A unit did not end well, or not all of its ranks ran.
    """
    written = bench.folder / f"ranks.{chance.random()}"
    specs = list(islice(shapes(chance, nodes, cores), UNITS))
    ids = []
    for spec in specs:
        request = Request(cores=spec.cores, block=spec.block)
        ids += bench.client.submit([_payload(spec, program, written, chance.uniform(0.1, 0.5))], request)
    bench.client.wait_for_ends(ids, 120.0)
    letters = bench.client.letters(ids)
    bad = [
        (name, bench.client.result(name)) for name, letter in zip(ids, letters, strict=True) if letter != "D"
    ]
    assert not bad, bad
    runs = list(_read(written))
    assert sorted((run.unit, run.rank) for run in runs) == sorted(
        (name, rank) for name, spec in zip(ids, specs, strict=True) for rank in range(spec.ranks)
    )
    results = [bench.client.result(name) for name in ids]
    real_s = (max(result.ended_ms for result in results) - min(result.started_ms for result in results)) / 1e3
    lengths = [(result.ended_ms - result.started_ms) / 1e3 for result in results]
    return Outcome(runs, real_s, ideal_s(list(zip(specs, lengths, strict=True)), nodes, cores))


def _payload(spec: UnitSpec, program: Path, written: Path, run_s: float) -> dict[str, Any]:
    return {
        "executable": str(program),
        "arguments": [str(written), f"{run_s:.3f}"],
        "number_of_processes": spec.number_of_processes,
        "threads_per_process": spec.threads_per_process,
        "spmd_variation": spec.spmd_variation,
        "placement": spec.placement,
    }


def _read(path: Path) -> Iterator[RankRun]:
    for line in path.read_text().splitlines():
        unit, rank, host, cpus, began_s, ended_s = line.split()
        yield RankRun(unit, int(rank), host, expand_numbers(cpus), float(began_s), float(ended_s))


def used_twice(runs: Iterable[RankRun]) -> list[tuple[RankRun, RankRun]]:
    """Return the pairs of ranks that used a core of a host at the same time."""
    by_core: dict[tuple[str, int], list[RankRun]] = defaultdict(list)
    for run in runs:
        for cpu in run.cpus:
            by_core[run.host, cpu].append(run)
    found = []
    for used in by_core.values():
        used.sort(key=lambda run: run.began_s)
        found += [(one, other) for one, other in pairwise(used) if other.began_s < one.ended_s]
    return found


def ideal_s(units: Sequence[tuple[UnitSpec, float]], nodes: int, cores: int) -> float:
    """Return how long units take, each as long as it ran, if nothing but the cores made them wait."""
    core = AgentCore([NodeSpec(cores)] * nodes)
    lengths = {f"u{number}": length for number, (_, length) in enumerate(units)}
    ends: list[tuple[float, int, str]] = []
    claimed = [ClaimedUnit(f"u{number}", 1, spec, {}) for number, (spec, _) in enumerate(units)]
    now_s = 0.0
    events: list[Event] = [UnitsClaimed([unit._replace(order={"id": unit.id}) for unit in claimed])]
    while True:
        for event in events:
            for action in core.handle(event, now_s):
                if isinstance(action, SendStart):
                    for order in action.orders:
                        heapq.heappush(ends, (now_s + lengths[order["id"]], action.executor, order["id"]))
                elif isinstance(action, SendSweep):
                    events.append(Swept(action.executor, [name for name, _, _ in action.sweeps]))
        if not ends:
            return now_s
        now_s, executor, name = heapq.heappop(ends)
        events = [ExecutorEvents(executor, ended=[[name, 1, _end(lengths[name]), None]])]


def _end(run_s: float) -> EndRecord:
    return EndRecord(
        code=0, signal=None, reason="", message="", t0=0.0, t1=run_s, user=0.0, system=0.0, rss_kb=1, cwd="", out="",
        err="", out_file="", err_file="",
    )  # fmt: skip
