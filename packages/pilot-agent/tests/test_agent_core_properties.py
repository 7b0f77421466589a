"""The core in a world of random delays, losses and cancels: cores are never shared, every unit ends exactly once."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from core_builders import Request
from core_simulation import TOO_LONG, World
from pilot_agent.events import DrainRequested, Event, StopRequested

pytestmark = pytest.mark.timeout(300)  # much is tried out, on busy machines for long

CORES = 6

REQUESTS = st.builds(
    Request,
    cores=st.sampled_from([1, 1, 1, 2, 3, CORES]),
    gpus=st.sampled_from([0, 0, 0, 1, 2]),
    memory_mb=st.sampled_from([0, 0, 400, 1000]),
    priority=st.sampled_from([0, 0, 5, -5]),
    walltime=st.sampled_from([None, None, 0.01, TOO_LONG]),
    max_restarts=st.sampled_from([3, 3, 0]),
)


DATA_REQUESTS = st.builds(
    Request,
    cores=st.sampled_from([1, 1, 2, CORES]),
    walltime=st.sampled_from([None, None, 0.01, TOO_LONG]),
    max_restarts=st.sampled_from([3, 0]),
    stages=st.booleans(),
    delivers=st.booleans(),
    keeps_failed=st.booleans(),
)

MPI_REQUESTS = st.builds(
    lambda ranks, threads, gpus, policy, more: Request(
        cores=ranks * threads, ranks=ranks, gpus=gpus * ranks, placement=policy, **more
    ),
    st.integers(2, 2 * CORES),
    st.integers(1, 2),
    st.sampled_from([0, 0, 0.5, 1]),
    st.sampled_from(["pack", "pack", "spread", "whole_nodes"]),
    st.sampled_from([{}, {}, {"max_restarts": 0}, {"priority": 3}, {"memory_mb": 300}]),
)


class CoreMachine(RuleBasedStateMachine):
    """Random mixes of everything that can happen to one pilot."""

    @initialize(executors=st.integers(1, 3), more_nodes=st.sampled_from([0, 0, 1, 2]))
    def begin(self, executors: int, more_nodes: int) -> None:
        self.world = World(CORES, executors, more_nodes=more_nodes)
        self.end: Event | None = None

    @rule(count=st.integers(1, 12), request=REQUESTS, retries=st.integers(0, 1))
    def submit(self, count: int, request: Request, retries: int) -> None:
        for _ in range(count):
            self.world.submit(request, retries if request.max_restarts else 0)

    @rule(count=st.integers(1, 4), request=MPI_REQUESTS)
    def submit_mpi(self, count: int, request: Request) -> None:
        for _ in range(count):
            self.world.submit(request)

    @rule(count=st.integers(1, 6), request=DATA_REQUESTS, retries=st.integers(0, 1))
    def submit_with_data(self, count: int, request: Request, retries: int) -> None:
        for _ in range(count):
            self.world.submit(request, retries if request.max_restarts else 0)

    @rule(
        count=st.integers(1, 3),
        which=st.integers(0, 9),
        error=st.sampled_from(["", "", "", "no room", "stale"]),
    )
    def mover_answers(self, count: int, which: int, error: str) -> None:
        for _ in range(count):
            self.world.move(which, error)

    @rule(count=st.integers(5, 30))
    def submit_plain(self, count: int) -> None:
        for _ in range(count):
            self.world.submit(Request())

    @rule()
    def answer_claim(self) -> None:
        self.world.answer_claim()

    @rule()
    def answer_report(self) -> None:
        self.world.answer_report()

    @rule(index=st.integers(0, 4))
    def executor_reads(self, index: int) -> None:
        executor = self.world.executors[index % len(self.world.executors)]
        if executor.inbox and executor.is_up:
            executor.read()

    @rule(
        index=st.integers(0, 4),
        which=st.integers(0, 5),
        code=st.sampled_from([0, 0, 0, 1]),
        run_s=st.sampled_from([0.001, 0.001, 2.0]),
    )
    def unit_ends(self, index: int, which: int, code: int, run_s: float) -> None:
        executor = self.world.executors[index % len(self.world.executors)]
        names = list(executor.running)
        if names:
            executor.end(names[which % len(names)], code, run_s=run_s)

    @rule(index=st.integers(0, 4))
    def executor_flushes(self, index: int) -> None:
        self.world.flush(index % len(self.world.executors))

    @rule(index=st.integers(0, 4))
    def head_reads(self, index: int) -> None:
        self.world.deliver(index % len(self.world.executors))

    @rule(turns=st.integers(1, 5))
    def all_goes_on(self, turns: int) -> None:
        if not self.world.is_fenced:
            for _ in range(turns):
                self.world.turn()

    @rule(which=st.integers(0, 200))
    def cancel(self, which: int) -> None:
        units = list(self.world.redis.units.values())
        if units and not self.world.is_fenced:
            self.world.cancel(units[which % len(units)])

    @rule(seconds=st.sampled_from([0.005, 0.05, 0.7, 3.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(index=st.integers(0, 4))
    def executor_dies(self, index: int) -> None:
        index %= len(self.world.executors)
        if self.world.executors[index].is_up:
            self.world.lose(index)

    @rule(index=st.integers(0, 4))
    def executor_falls_silent(self, index: int) -> None:
        index %= len(self.world.executors)
        if self.world.executors[index].is_up and self.world.executors[index].node:
            self.world.silence(index)

    @rule(index=st.integers(0, 4))
    def executor_returns(self, index: int) -> None:
        index %= len(self.world.executors)
        if not self.world.executors[index].is_up:
            self.world.revive(index)

    @rule()
    def lease_ends(self) -> None:
        if not self.world.is_fenced:
            self.world.fence()

    @rule(is_swept=st.booleans(), others=st.integers(0, 3))
    def link_returns(self, is_swept: bool, others: int) -> None:
        if not self.world.is_fenced:
            return
        if is_swept:
            self.world.redis.expire_lease()
            ready = [stored for stored in self.world.redis.units.values() if stored.state == "N"]
            for stored in ready[:others]:  # another pilot is faster
                stored.attempt += 1
                self.world.redis.conclude(stored, "D")
        self.world.reconnect()

    @rule(end=st.sampled_from([None, DrainRequested(), StopRequested(), StopRequested(letter="C")]))
    def the_end_is_chosen(self, end: Event | None) -> None:
        self.end = end

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        if self.end is None:
            self.world.run_out()
        else:
            self.world.run_to_finish(self.end)


CoreMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCore = CoreMachine.TestCase


@pytest.mark.parametrize("executors", [1, 2])
@settings(max_examples=10, deadline=None)
@given(
    large=st.integers(2, CORES),
    priorities=st.lists(st.sampled_from([0, -1]), min_size=1, max_size=5),
    head_start=st.integers(0, 60),
)
def test_a_large_unit_starts_in_spite_of_endless_small_ones(
    executors: int, large: int, priorities: list[int], head_start: int
) -> None:
    overtakes = 3
    world = World(CORES, executors, overtakes)
    for number in range(400):
        world.submit(Request(priority=priorities[number % len(priorities)]))
    for _ in range(head_start):
        world.turn()
    unit = world.submit(Request(cores=large, priority=1))
    for _ in range(400):
        if unit.state == "A":
            break
        world.turn()
    held = sum(len(executor.chained) for executor in world.executors)
    most_turns = 2 * (CORES + overtakes + held) + 10  # in each, the oldest unit of each executor ends
    for _ in range(most_turns):
        if unit.id in world.starts:
            break
        world.turn()
    assert unit.id in world.starts, f"{world.core.table.records[unit.id]!r} starves"
    world.run_out()


@settings(max_examples=10, deadline=None)
@given(
    ranks=st.integers(CORES + 1, 3 * CORES),
    policy=st.sampled_from(["pack", "spread", "whole_nodes"]),
    head_start=st.integers(0, 60),
)
def test_a_unit_of_several_nodes_starts_in_spite_of_endless_small_ones(
    ranks: int, policy: str, head_start: int
) -> None:
    overtakes = 3
    world = World(CORES, 1, overtakes, more_nodes=2)
    for _ in range(600):
        world.submit(Request())
    for _ in range(head_start):
        world.turn()
    unit = world.submit(Request(cores=ranks, ranks=ranks, placement=policy, priority=1))
    for _ in range(400):
        if unit.state == "A":
            break
        world.turn()
    held = sum(len(executor.chained) for executor in world.executors)
    most_turns = 2 * (3 * CORES + overtakes + held) + 10  # in each, the oldest unit of each executor ends
    for _ in range(most_turns):
        if unit.id in world.starts:
            break
        world.turn()
    assert unit.id in world.starts, f"{world.core.table.records[unit.id]!r} starves"
    world.run_out()
