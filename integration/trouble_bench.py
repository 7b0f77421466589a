"""What tests of troubles share: a client in this process with a home of its own, at a resource of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pilot import PilotCompute, PilotComputeService
from pilot.session import Session
from resource_bench import ResourceBench
from resources import TestResource
from until import LIMIT_S


@dataclass(frozen=True)
class TroubleBench(ResourceBench):
    """A client and a resource.

    Attributes:
        session: The client's.
        service: Its service.
    """

    session: Session
    service: PilotComputeService

    def pilot(self, **keys: Any) -> PilotCompute:
        """Create a pilot, see `described`."""
        return self.service.create_pilot(self.described(**keys))

    def running(self, **keys: Any) -> PilotCompute:
        """Create a pilot and wait until it runs."""
        pilot = self.pilot(**keys)
        assert pilot.wait(LIMIT_S, state="Running") == "Running", pilot.details["message"]
        return pilot

    def last_failure(self) -> str:
        """Return the message of the pilot that was created last; it has failed before it started."""
        details = self.service.list_pilots()[-1].details
        assert (details["state"], details["reason"]) == ("Failed", "start")
        return str(details["message"])


@contextmanager
def trouble_bench(
    resource: TestResource, redis_url: str, home: Path, patch: pytest.MonkeyPatch
) -> Iterator[TroubleBench]:
    """Give a client for the length of a block; its pilots are canceled in the end, and nothing of them may be left."""
    for name, value in ResourceBench(resource).variables(home).items():
        patch.setenv(name, value)
    session = Session.create(redis_url, lease_s=10.0)
    try:
        with PilotComputeService(session=session) as service:
            bench = TroubleBench(resource, session, service)
            yield bench
        bench.check_nothing_left()
    finally:
        session.close()
