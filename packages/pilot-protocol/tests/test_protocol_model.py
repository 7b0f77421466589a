"""Whatever is said in whatever order: servers and the session in memory answer alike, and no unit is misplaced."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from protocol_machine import ProtocolMachine
from scripted_session import ServerLink

CHECKED = settings(
    max_examples=int(os.environ.get("EX", "60")),
    stateful_step_count=50,
    deadline=None,
    database=None,
    print_blob=True,
    phases=[Phase.generate] if os.environ.get("NOSHRINK") else list(Phase),
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_server_and_memory_answer_alike(socket: str) -> None:
    link = ServerLink(socket)
    machine: type[ProtocolMachine] = type("Machine", (ProtocolMachine,), {"link": link})
    run_state_machine_as_test(machine, settings=CHECKED)
    link.client.close()
