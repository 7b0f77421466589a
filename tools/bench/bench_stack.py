"""What every benchmark starts: an embedded server, a pilot on this machine, a compute-data service."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pilot import ComputeDataService, PilotCompute, PilotComputeService
from pilot.embedded_redis import EmbeddedRedis


@dataclass(frozen=True)
class Stack:
    """A running pilot and what is needed to look at it."""

    server: EmbeddedRedis
    server_pid: int
    pilot: PilotCompute
    service: ComputeDataService


@contextmanager
def started(cores: int) -> Iterator[Stack]:
    """Start a server and a pilot of ``cores`` in a folder below the current one; end the pilot afterwards."""
    server = EmbeddedRedis.start()  # ends with the program, after the services that watch it
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder, PilotComputeService(server.url) as pilots:
        description = {
            "service_url": "fork://localhost",
            "number_of_processes": cores,
            "working_directory": folder,
        }
        pilot = pilots.create_pilot(description)
        pilot.wait(state="Running")
        with ComputeDataService() as service:
            service.add_pilot_compute_service(pilots)
            yield Stack(server, server.record.server_pid, pilot, service)
