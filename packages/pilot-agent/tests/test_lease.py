from __future__ import annotations

from collections.abc import Iterator

import pytest

from clock_loop import ClockLoop, clock_loop
from pilot_agent.lease import FENCE_AT, Lease

LEASE_S = 30.0


@pytest.fixture
def loop() -> Iterator[ClockLoop]:
    with clock_loop() as loop:
        yield loop


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def lease(calls: list[str]) -> Lease:
    return Lease(LEASE_S, lambda: calls.append("beat"), lambda: calls.append("end"))


def test_nothing_happens_before_the_first_renewal(loop: ClockLoop, lease: Lease, calls: list[str]) -> None:
    loop.advance(10 * LEASE_S)
    assert calls == []


def test_a_heartbeat_is_due_after_a_third_and_the_end_shortly_before_the_servers(
    loop: ClockLoop, lease: Lease, calls: list[str]
) -> None:
    loop.do(lease.renewed, loop.time())
    loop.advance(LEASE_S / 3 - 0.001)
    assert calls == []
    loop.advance(0.001)
    assert calls == ["beat"]
    loop.advance(LEASE_S * FENCE_AT - LEASE_S / 3 - 0.001)
    assert calls == ["beat"]
    loop.advance(0.001)
    assert calls == ["beat", "end"]
    loop.advance(10 * LEASE_S)
    assert calls == ["beat", "end"]


def test_the_lease_counts_from_the_question_not_from_the_answer(
    loop: ClockLoop, lease: Lease, calls: list[str]
) -> None:
    asked_s = loop.time()
    loop.advance(20.0)
    loop.do(lease.renewed, asked_s)
    assert calls == ["beat"]
    loop.advance(LEASE_S * FENCE_AT - 20.0)
    assert calls == ["beat", "end"]


def test_a_renewal_puts_both_off(loop: ClockLoop, lease: Lease, calls: list[str]) -> None:
    for _ in range(5):
        loop.do(lease.renewed, loop.time())
        loop.advance(LEASE_S / 3)
    assert calls == ["beat"] * 5


def test_a_process_that_stood_still_finds_both_due(loop: ClockLoop, lease: Lease, calls: list[str]) -> None:
    loop.do(lease.renewed, loop.time())
    loop.advance(100 * LEASE_S)
    assert calls == ["beat", "end"]


def test_without_a_fence_there_are_only_heartbeats(loop: ClockLoop, calls: list[str]) -> None:
    lease = Lease(LEASE_S, lambda: calls.append("beat"), None)
    loop.do(lease.renewed, loop.time())
    loop.advance(100 * LEASE_S)
    assert calls == ["beat"]


def test_a_closed_lease_is_silent(loop: ClockLoop, lease: Lease, calls: list[str]) -> None:
    loop.do(lease.renewed, loop.time())
    lease.close()
    lease.close()
    loop.advance(100 * LEASE_S)
    assert calls == []
