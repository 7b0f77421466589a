"""Pilots at EC2 as the service sees them: a real agent, on this machine in place of the instance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_ec2 import REGION, LocalEc2
from pilot.compute_data_service import ComputeDataService
from pilot.pilot_compute_service import PilotComputeService
from pilot.submission import Notify, PilotOrder
from pilot.submission.base import Placeholder
from pilot.submission.ec2.submitter import Ec2Submitter
from pilot.submission.fork import ForkSubmitter
from pilot.submission.place import Output, Place
from pilot_protocol.errors import SubmissionError
from pilot_protocol.states import State

LIMIT_S = 50.0

Describe = Callable[[], dict[str, Any]]


class HerePlace:
    """This machine, as if SSH reached it."""

    name = "here"

    def url_of(self, path: str) -> str:
        return path

    def run(self, command: str, *, given: bytes = b"", limit_s: float = 60) -> Output:
        return Output(0, b"", "")

    def close(self) -> None:
        """Have nothing to give up."""


def start_here(order: PilotOrder, notify: Notify, _: Place) -> Placeholder:
    spec = replace(order.spec, service_url="fork://localhost")
    return ForkSubmitter().submit(replace(order, spec=spec), notify)


@pytest.fixture
def describe(ec2: LocalEc2, tmp_path: Path) -> Describe:
    """Describes a pilot at EC2."""
    key_file = tmp_path / "key.pem"
    key_file.touch(0o600)

    def call() -> dict[str, Any]:
        instance = {
            "vm_id": ec2.image,
            "vm_type": "t3.small",
            "vm_ssh_keyname": "key",
            "vm_ssh_keyfile": key_file,
        }
        return {
            "service_url": f"ec2+ssh://{REGION}",
            "number_of_processes": 1,
            "working_directory": str(tmp_path / "work"),
            **instance,
        }

    return call


def use(
    monkeypatch: pytest.MonkeyPatch, submit_at: Callable[[PilotOrder, Notify, Place], Placeholder]
) -> None:
    way = Ec2Submitter(lambda *_: HerePlace(), submit_at)
    monkeypatch.setattr("pilot.submission.Ways.submitter_for", lambda _ways, _spec: way)


def test_a_pilot_runs_units_and_its_end_ends_the_instance(
    url: str, ec2: LocalEc2, describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, start_here)
    with PilotComputeService(url) as service, ComputeDataService(url) as work:
        work.add_pilot_compute_service(service)
        pilot = service.create_pilot(describe())
        unit = work.submit_compute_unit({"executable": "/bin/echo", "arguments": ["hello"]})
        assert unit.wait(LIMIT_S) is State.Done
        assert unit.stdout() == "hello\n"
        assert ec2.states() == ["running"]
    assert pilot.state is State.Done
    assert ec2.states() == ["terminated"]


def test_a_pilot_whose_start_fails_half_way_has_failed_with_the_reason(
    url: str, ec2: LocalEc2, describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> Placeholder:
        raise SubmissionError("no space left on the instance")

    use(monkeypatch, full)
    with PilotComputeService(url) as service:
        pilot = service.create_pilot(describe())
        assert pilot.wait(LIMIT_S, State.Failed) is State.Failed
        assert "no space left on the instance" in str(pilot.details)
    assert ec2.states() == ["terminated"]


def test_a_pilot_that_is_cancelled_before_its_agent_runs_ends_its_instance(
    url: str, ec2: LocalEc2, describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Deaf(HerePlace):
        def run(self, command: str, *, given: bytes = b"", limit_s: float = 60) -> Output:
            raise SubmissionError("connection refused", transient=True)

    way = Ec2Submitter(lambda *_: Deaf(), start_here)
    monkeypatch.setattr("pilot.submission.Ways.submitter_for", lambda _ways, _spec: way)
    with PilotComputeService(url) as service:
        pilot = service.create_pilot(describe())
    assert pilot.state is State.Canceled
    assert ec2.states() == ["terminated"]
