"""Pilots at EC2: whatever goes wrong, and whenever, the instance is terminated. The place at the end of SSH is a fake."""

from __future__ import annotations

import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local_ec2 import REGION, LocalEc2
from pilot.submission import AgentEnd, Notify, PilotOrder, Submitter
from pilot.submission.base import Placeholder
from pilot.submission.ec2.instances import Ec2Instances, Instance, InstanceRequest
from pilot.submission.ec2.placeholder import Ec2Placeholder
from pilot.submission.ec2.submitter import Ec2Submitter
from pilot.submission.place import Output, Place
from pilot_protocol.compute_descriptions import validate_pilot_compute
from pilot_protocol.errors import SubmissionError
from pilot_protocol.specs import PilotSpec

LIMIT_S = 45.0
PILOT = "p-aaaaaaaa"
LETS_IN = Output(0, b"", "")
REFUSED = SubmissionError("connection refused", transient=True)


class FakePlace:
    """An instance at the end of SSH, whose answers are given; the last one is given for ever."""

    name = "ec2-user@instance"

    def __init__(self, *answers: Output | Exception) -> None:
        self.answers = list(answers)
        self.asked = threading.Event()
        self.closed = threading.Event()

    def url_of(self, path: str) -> str:
        return path

    def run(self, command: str, *, given: bytes = b"", limit_s: float = 60) -> Output:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.asked.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed.set()


class FakeJob:
    """An agent's job at a place."""

    job = handle = "4711"
    cores = 8
    news = ""

    def __init__(self, order: PilotOrder, notify: Notify, place: Place) -> None:
        self.order, self.notify, self.place = order, notify, place
        self.killed = threading.Event()

    def end(self, code: int = 0, log: str = "") -> None:
        self.notify(AgentEnd(self.order.pilot, code, log))

    def kill(self) -> None:
        self.killed.set()

    def wait(self, timeout_s: float) -> bool:
        return self.killed.wait(timeout_s)


class Cloud:
    """A way of submission whose SSH half is a fake, and what becomes of its pilots."""

    def __init__(self, ec2: LocalEc2, folder: Path) -> None:
        self.ec2 = ec2
        self.key_file = folder / "key.pem"
        self.key_file.touch(0o600)
        self.place = FakePlace(LETS_IN)
        self.ends: queue.Queue[AgentEnd] = queue.Queue()
        self.jobs: queue.Queue[FakeJob] = queue.Queue()
        self.opened: list[tuple[str, str, str]] = []
        self.make_ssh: Callable[[str, str, str], Place] = self._make_ssh
        self.submit_at: Callable[[PilotOrder, Notify, Place], Placeholder] = self._submit_at
        self.instances: Callable[[str, str], Ec2Instances] = Ec2Instances
        self.ssh_limit_s = LIMIT_S

    def submit(self, **more: Any) -> Ec2Placeholder:
        return self.submitter().submit(self.order(**more), self.ends.put)

    def order(self, **more: Any) -> PilotOrder:
        return PilotOrder(PILOT, self.spec(**more), {"session": "s-1"})

    def submitter(self) -> Ec2Submitter:
        return Ec2Submitter(
            self.make_ssh, self.submit_at, make_instances=self.instances, ssh_limit_s=self.ssh_limit_s
        )

    def spec(self, **more: Any) -> PilotSpec:
        given = {"service_url": f"ec2+ssh://{REGION}", "number_of_processes": 2, "vm_type": "t3.small"}
        given |= {"vm_id": self.ec2.image, "vm_ssh_keyname": "key", "vm_ssh_keyfile": self.key_file, **more}
        return PilotSpec.from_payload(validate_pilot_compute(given))

    def running(self) -> tuple[Ec2Placeholder, FakeJob]:
        """Return a pilot whose agent was started."""
        placeholder = self.submit()
        return placeholder, self.jobs.get(timeout=LIMIT_S)

    def end(self) -> AgentEnd:
        return self.ends.get(timeout=LIMIT_S)

    def _make_ssh(self, address: str, user: str, key_file: str) -> Place:
        self.opened.append((address, user, key_file))
        return self.place

    def _submit_at(self, order: PilotOrder, notify: Notify, place: Place) -> Placeholder:
        job = FakeJob(order, notify, place)
        self.jobs.put(job)
        return job


@pytest.fixture
def cloud(ec2: LocalEc2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A way of submission that is quick to lose patience."""
    monkeypatch.setattr("pilot.submission.ec2.placeholder.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("pilot.submission.ec2.submitter.LOOK_PAUSE_S", 0.01)
    return Cloud(ec2, tmp_path)


def refusing(where: str, error: BaseException, *, times: int = 1) -> type[Ec2Instances]:
    """Return an EC2 of which one call does what it should and fails nevertheless, or fails a few times instead."""
    left = [times]

    class Refusing(Ec2Instances):
        def start(self, request: InstanceRequest) -> str:
            made = super().start(request)
            return made if where != "start" else self._fail()

        def await_running(self, instance: str) -> Instance:
            return super().await_running(instance) if where != "await_running" else self._fail()

        def terminate(self, instance: str) -> None:
            if where == "terminate" and left[0]:
                left[0] -= 1
                self._fail()
            super().terminate(instance)

        def find(self, pilot: str) -> list[str]:
            return super().find(pilot) if where != "find" else self._fail()

        def _fail(self) -> Any:
            raise error

    return Refusing


def test_it_is_a_way_of_submission(cloud: Cloud) -> None:
    way: Submitter = cloud.submitter()
    with pytest.raises(SubmissionError, match="needs 'vm_id'"):
        way.submit(PilotOrder(PILOT, cloud.spec(vm_id=None), {"session": "s-1"}), cloud.ends.put)


def test_an_instance_becomes_a_pilot(cloud: Cloud) -> None:
    cloud.place = FakePlace(REFUSED, REFUSED, LETS_IN)
    placeholder, job = cloud.running()
    (found,) = cloud.ec2.instances()
    assert placeholder.job == found["InstanceId"]
    assert placeholder.cores == 2
    assert cloud.opened == [(found["PublicIpAddress"], "ec2-user", str(cloud.key_file))]
    assert job.order.pilot == PILOT
    assert job.place is cloud.place
    assert cloud.ec2.states() == ["running"]
    assert not placeholder.wait(0)
    job.end()


def test_an_instance_without_asked_cores_has_those_that_its_job_has(cloud: Cloud) -> None:
    placeholder = cloud.submit(number_of_processes=None, number_of_nodes=1)
    job = cloud.jobs.get(timeout=LIMIT_S)
    job.end()
    assert placeholder.wait(LIMIT_S)
    assert placeholder.cores in {None, 8}  # the job may end before it is known


def test_the_end_of_the_agent_is_the_end_of_the_instance(cloud: Cloud) -> None:
    placeholder, job = cloud.running()
    job.end(3, "no such module")
    assert cloud.ec2.states() == ["terminated"]
    assert cloud.end() == AgentEnd(PILOT, 3, "no such module")
    assert placeholder.wait(LIMIT_S)
    assert cloud.place.closed.wait(LIMIT_S)


def test_an_agent_that_ends_at_once_ends_the_instance_too(cloud: Cloud) -> None:
    def submit_at(order: PilotOrder, notify: Notify, place: Place) -> Placeholder:
        job = FakeJob(order, notify, place)
        job.end(1, "gone")
        return job

    cloud.submit_at = submit_at
    assert cloud.submit().wait(LIMIT_S)
    assert cloud.end() == AgentEnd(PILOT, 1, "gone")
    assert cloud.ec2.states() == ["terminated"]


def test_a_cancel_ends_the_instance_and_is_told_once(cloud: Cloud) -> None:
    placeholder, job = cloud.running()
    placeholder.kill()
    assert cloud.ec2.states() == ["terminated"]
    assert placeholder.wait(LIMIT_S)
    assert cloud.end() == AgentEnd(PILOT, -9, "")
    assert job.killed.wait(LIMIT_S)
    job.end()
    placeholder.kill()
    assert cloud.ends.empty()


def test_a_cancel_before_ssh_is_up_starts_no_agent(cloud: Cloud) -> None:
    cloud.place = FakePlace(REFUSED)
    placeholder = cloud.submit()
    assert cloud.place.asked.wait(LIMIT_S)
    placeholder.kill()
    assert placeholder.wait(LIMIT_S)
    assert cloud.end() == AgentEnd(PILOT, -9, "")
    assert cloud.ec2.states() == ["terminated"]
    assert cloud.jobs.empty()


@pytest.mark.parametrize("late_answer", [LETS_IN, SubmissionError("no such host")])
def test_a_place_that_is_opened_while_a_cancel_ends_the_pilot_is_closed(
    cloud: Cloud, late_answer: Output | Exception
) -> None:
    opening, go_on = threading.Event(), threading.Event()
    cloud.place = FakePlace(late_answer)

    def make_ssh(address: str, user: str, key_file: str) -> Place:
        opening.set()
        assert go_on.wait(LIMIT_S)
        return cloud.place

    cloud.make_ssh = make_ssh
    placeholder = cloud.submit()
    assert opening.wait(LIMIT_S)
    placeholder.kill()
    assert placeholder.wait(LIMIT_S)
    go_on.set()
    assert cloud.place.closed.wait(LIMIT_S)
    assert cloud.jobs.empty()


def test_a_cancel_while_the_agent_is_being_started_ends_both(cloud: Cloud) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def submit_at(order: PilotOrder, notify: Notify, place: Place) -> Placeholder:
        entered.set()
        assert go_on.wait(LIMIT_S)
        return cloud._submit_at(order, notify, place)

    cloud.submit_at = submit_at
    placeholder = cloud.submit()
    assert entered.wait(LIMIT_S)
    placeholder.kill()
    assert cloud.ec2.states() == ["terminated"]
    go_on.set()
    assert placeholder.wait(LIMIT_S)
    assert cloud.end() == AgentEnd(PILOT, -9, "")


def _no_address(cloud: Cloud) -> None:
    cloud.instances = refusing("await_running", SubmissionError("it has no address"))


def _no_place(cloud: Cloud) -> None:
    def fail(*_: str) -> Place:
        raise SubmissionError("ssh is not installed")

    cloud.make_ssh = fail


def _never_up(cloud: Cloud) -> None:
    cloud.place = FakePlace(REFUSED)
    cloud.ssh_limit_s = 0.05


def _not_let_in(cloud: Cloud) -> None:
    cloud.place = FakePlace(REFUSED, SubmissionError("Permission denied (publickey)"))


def _runs_nothing(cloud: Cloud) -> None:
    cloud.place = FakePlace(Output(142, b"", 'Please login as the user "ubuntu"\n'))


def _staging_fails(cloud: Cloud) -> None:
    cloud.submit_at = _raising(SubmissionError("no space left on device"))


def _defect(cloud: Cloud) -> None:
    cloud.submit_at = _raising(ZeroDivisionError("division by zero"))


def _raising(error: Exception) -> Callable[[PilotOrder, Notify, Place], Placeholder]:
    def fail(*_: object) -> Placeholder:
        raise error

    return fail


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (_no_address, "it has no address"),
        (_no_place, "ssh is not installed"),
        (
            _never_up,
            "connection refused; its security group (the default one) must let this machine in at port 22",
        ),
        (_not_let_in, "does not let ec2-user in: Permission denied (publickey); is vm_ssh_username"),
        (_runs_nothing, 'runs nothing, exit code 142: Please login as the user "ubuntu"; is vm_ssh_username'),
        (_staging_fails, "no space left on device"),
        (_defect, "ZeroDivisionError: division by zero"),
    ],
)
def test_a_failure_half_way_ends_the_instance(
    cloud: Cloud, step: Callable[[Cloud], None], reason: str
) -> None:
    step(cloud)
    placeholder = cloud.submit()
    end = cloud.end()
    assert (end.pilot, end.exit_code) == (PILOT, 1)
    assert reason in end.log
    assert placeholder.wait(LIMIT_S)
    assert cloud.ec2.states() == ["terminated"]


def test_an_instance_that_aws_ends_while_it_starts_is_told(cloud: Cloud) -> None:
    class Ending(Ec2Instances):
        def await_running(self, instance: str) -> Instance:
            self.terminate(instance)
            return super().await_running(instance)

    cloud.instances = Ending
    cloud.submit()
    assert "does not run" in cloud.end().log
    assert cloud.ec2.states() == ["terminated"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SubmissionError("read timed out", transient=True)])
def test_an_instance_whose_id_was_never_learned_is_ended(cloud: Cloud, error: BaseException) -> None:
    cloud.instances = refusing("start", error)
    with pytest.raises(type(error)):
        cloud.submit()
    assert cloud.ec2.states() == ["terminated"]
    assert cloud.ends.empty()


def test_an_instance_that_cannot_be_looked_for_is_told_loudly(
    cloud: Cloud, caplog: pytest.LogCaptureFixture, ec2: LocalEc2, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dark(refusing("start", KeyboardInterrupt())):  # type: ignore[misc]
        def find(self, pilot: str) -> list[str]:
            raise SubmissionError("EC2 does not answer")

    cloud.instances = Dark
    with pytest.raises(KeyboardInterrupt), caplog.at_level(logging.ERROR):
        cloud.submit()
    assert f"look for one with the tag pilot-id {PILOT} in {REGION}" in caplog.text


def test_a_refusal_of_ec2_leaves_nothing_and_looks_for_nothing(cloud: Cloud) -> None:
    cloud.instances = refusing("find", AssertionError("nothing was made"))
    with pytest.raises(SubmissionError, match="Invalid Availability Zone"):
        cloud.submit(vm_location="us-east-1a")
    assert cloud.ec2.states() == []


def test_an_interrupt_before_the_threads_run_ends_the_instance(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Ec2Placeholder) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Ec2Placeholder, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cloud.submit()
    assert cloud.ec2.states() == ["terminated"]


def test_a_termination_that_fails_is_loud_and_names_the_instance(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.instances = refusing("terminate", SubmissionError("EC2 says no"))
    placeholder, job = cloud.running()
    with caplog.at_level(logging.ERROR):
        job.end(0, "bye")
    advice = (
        f"EC2 says no; terminate it yourself: aws ec2 terminate-instances --region {REGION} --instance-ids "
    )
    assert cloud.end() == AgentEnd(PILOT, 0, f"bye\n{advice}{placeholder.job}")
    assert f"{advice}{placeholder.job}" in caplog.text
    assert cloud.ec2.states() == ["running"]
    placeholder.kill()
    assert cloud.ec2.states() == ["terminated"]


def test_a_cancel_that_cannot_end_the_instance_ends_the_job(cloud: Cloud) -> None:
    cloud.instances = refusing("terminate", SubmissionError("EC2 says no"), times=2)
    placeholder, job = cloud.running()
    placeholder.kill()
    assert job.killed.wait(LIMIT_S)
    assert cloud.ends.empty()  # its units may run still
    job.end(-9)
    assert cloud.end() == AgentEnd(PILOT, -9, "")
    assert cloud.ec2.states() == ["terminated"]


def test_bad_descriptions_cost_nothing(cloud: Cloud) -> None:
    cloud.key_file.chmod(0o640)
    with pytest.raises(SubmissionError, match="has mode 0640"):
        cloud.submit()
    with pytest.raises(SubmissionError, match="needs 'vm_type'"):
        cloud.submit(vm_type=None)
    assert cloud.ec2.states() == []


def test_what_another_process_left_can_be_ended(cloud: Cloud) -> None:
    placeholder, job = cloud.running()
    other = Cloud(cloud.ec2, cloud.key_file.parent)
    found = other.submitter().attach(cloud.order(), placeholder.handle, other.ends.put)
    assert not found.wait(0)
    found.kill()
    assert cloud.ec2.states() == ["terminated"]
    assert found.wait(0)
    assert other.end() == AgentEnd(PILOT, None, "", "its instance was terminated")
    job.end()


def test_a_process_that_was_forked_ends_no_instance_of_its_parent(cloud: Cloud) -> None:
    cloud.place = FakePlace(REFUSED)
    placeholder = cloud.submit()
    assert cloud.place.asked.wait(LIMIT_S)
    placeholder._process += 1
    placeholder._abandon()
    assert cloud.ec2.states() == ["running"]
    placeholder.kill()
    assert cloud.end() == AgentEnd(PILOT, -9, "")


PROGRAM = """
import sys, threading
from pilot.submission import PilotOrder
from pilot.submission.ec2.submitter import Ec2Submitter
from pilot_protocol.specs import PilotSpec

asked = threading.Event()

class Never:
    name = "nowhere"
    def run(self, command, *, given=b"", limit_s=60.0):
        asked.set()
        threading.Event().wait()
    def close(self): pass

spec = PilotSpec("ec2+ssh://eu-west-1", number_of_processes=1, vm_type="t3.small", vm_ssh_keyname="key",
                 vm_id=sys.argv[1], vm_ssh_keyfile=sys.argv[2])
submitter = Ec2Submitter(lambda *_: Never(), None)
submitter.submit(PilotOrder("p-aaaaaaaa", spec, {"session": "s-1"}), print)
asked.wait()
"""


def test_a_program_that_ends_before_its_agent_was_started_ends_the_instance(cloud: Cloud) -> None:
    command = [sys.executable, "-c", PROGRAM, cloud.ec2.image, str(cloud.key_file)]
    subprocess.run(command, check=True, timeout=LIMIT_S)
    assert cloud.ec2.states() == ["terminated"]
