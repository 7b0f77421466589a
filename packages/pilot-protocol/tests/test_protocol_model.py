"""Whatever is said in whatever order: servers and the session in memory answer alike, and no unit is misplaced."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from data_machine import DataMachine
from scripted_session import ServerLink

CHECKED = settings(
    max_examples=60,  # of 50 steps each: some seconds per server
    stateful_step_count=50,
    deadline=None,
    database=None,
    print_blob=True,  # a failure says how it is reproduced
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_server_and_memory_answer_alike(socket: str) -> None:
    link = ServerLink(socket)
    machine: type[DataMachine] = type("Machine", (DataMachine,), {"link": link})
    run_state_machine_as_test(machine, settings=CHECKED)
    link.client.close()
