from __future__ import annotations

import pytest

from core_builders import end
from pilot_agent.actions import ReportItem
from pilot_agent.outcome import Outcome, ServerClock
from pilot_protocol.errors import ForgedRecordError
from pilot_protocol.messages import UnitResult
from pilot_protocol.signing import RESULT, Seal

SEAL = Seal("s-a", bytes(32))


@pytest.fixture
def clock() -> ServerClock:
    """A server that is one hour ahead of this node."""
    clock = ServerClock()
    clock.learn(server_ms=3_600_000 + 500_000, node_s=500.0)
    return clock


@pytest.fixture
def outcome(clock: ServerClock) -> Outcome:
    return Outcome(SEAL, clock, ["node-1"])


def opened(outcome: Outcome, item: ReportItem) -> UnitResult:
    report = outcome.report(item)
    assert (report.id, report.attempt, report.letter) == (item.id, item.attempt, item.letter)
    return UnitResult.from_bytes(SEAL.open(RESULT, f"{item.id}:{item.attempt}", report.result))


def test_times_are_the_servers(clock: ServerClock) -> None:
    assert clock.at(501.5) == 3_600_000 + 501_500
    clock.learn(server_ms=1000, node_s=9_999_999.0)
    assert clock.at(9_999_999.25) == 1250


def test_a_clock_that_has_learned_nothing_is_the_nodes_own() -> None:
    assert ServerClock().at(1.5) == 1500


def test_an_end_becomes_a_result(outcome: Outcome) -> None:
    ended = end(3, reason="exit", message="exit code 3")
    ended["user"], ended["system"], ended["rss_kb"] = 0.12345, 0.00004, 77
    ended["cwd"], ended["out"], ended["err"], ended["out_file"] = "/w", None, "oh", "/w/stdout"
    item = ReportItem("cu-a-1", 2, "E", "exit", "exit code 3", ended, "0-1", (0,))
    assert opened(outcome, item) == UnitResult(
        exit_code=3,
        signal=None,
        reason="exit",
        message="exit code 3",
        started_ms=3_600_000 + 100_000,
        ended_ms=3_600_000 + 101_000,
        user_s=0.1235,
        system_s=0.0,
        peak_memory_kb=77,
        cores="0-1",
        node="node-1",
        working_directory="/w",
        stdout=None,
        stderr="oh",
        stdout_file="/w/stdout",
        stderr_file="",
    )


def test_the_verdict_outweighs_the_end(outcome: Outcome) -> None:
    result = opened(
        outcome, ReportItem("cu-a-1", 1, "C", "canceled", "", end(None, signal=15, reason="signal"))
    )
    assert (result.reason, result.signal) == ("canceled", 15)


def test_a_unit_without_an_end_says_why(outcome: Outcome) -> None:
    result = opened(outcome, ReportItem("cu-a-1", 1, "F", "rejected", "it asks for 9 cores"))
    assert result == UnitResult(reason="rejected", message="it asks for 9 cores", node="node-1")


def test_output_that_is_no_text_survives(outcome: Outcome) -> None:
    ended = end()
    ended["out"] = b"\xff\x00ok".decode("utf-8", "surrogateescape")
    result = opened(outcome, ReportItem("cu-a-1", 1, "D", end=ended))
    assert result.stdout is not None
    assert result.stdout.encode("utf-8", "surrogateescape") == b"\xff\x00ok"


@pytest.mark.parametrize("letter", ["R", "S", "U"])
def test_what_is_no_end_carries_no_result(outcome: Outcome, letter: str) -> None:
    assert outcome.report(ReportItem("cu-a-1", 1, letter)).result == b""


def test_a_result_is_sealed_for_its_attempt(outcome: Outcome) -> None:
    sealed = outcome.report(ReportItem("cu-a-1", 2, "D", end=end())).result
    with pytest.raises(ForgedRecordError):
        SEAL.open(RESULT, "cu-a-1:1", sealed)
