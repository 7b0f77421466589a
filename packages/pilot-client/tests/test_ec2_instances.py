"""What is said to EC2, and what becomes of its answers; against a server that answers like it."""

from __future__ import annotations

import re
import socket
import sys
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from local_ec2 import REGION, LocalEc2
from pilot.submission.ec2 import instances as ec2_instances
from pilot.submission.ec2.instances import Ec2Instances, InstanceRequest
from pilot_protocol.errors import MissingExtraError, SubmissionError

REQUEST = InstanceRequest("p-aaaaaaaa", "s-aaaaaaaaaaaaaaaa", "", "t3.small", "my-key", "", 75)


@pytest.fixture
def instances(ec2: LocalEc2) -> Ec2Instances:
    """The region of the tests."""
    return Ec2Instances(REGION, "the test")


@pytest.fixture
def request_(ec2: LocalEc2) -> InstanceRequest:
    """What a pilot asks for."""
    return replace(REQUEST, image=ec2.image)


def test_an_instance_is_what_was_asked_for_and_bears_its_pilots_name(
    ec2: LocalEc2, instances: Ec2Instances, request_: InstanceRequest
) -> None:
    made = instances.start(replace(request_, zone="eu-west-1b"))
    (found,) = ec2.instances()
    assert found["InstanceId"] == made
    assert found["ImageId"] == request_.image
    assert found["InstanceType"] == "t3.small"
    assert found["KeyName"] == "my-key"
    assert found["Placement"]["AvailabilityZone"] == "eu-west-1b"
    assert found["ClientToken"] == "p-aaaaaaaa"
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {
        "Name": "pilot p-aaaaaaaa",
        "pilot-id": "p-aaaaaaaa",
        "pilot-session": "s-aaaaaaaaaaaaaaaa",
    }


def test_an_instance_ends_by_itself(
    ec2: LocalEc2, instances: Ec2Instances, request_: InstanceRequest
) -> None:
    made = instances.start(request_)
    assert ec2.attribute(made, "userData") == "#!/bin/sh\nshutdown -h +75\n"
    assert ec2.attribute(made, "instanceInitiatedShutdownBehavior") == "terminate"


def test_an_instance_runs_and_has_an_address(
    ec2: LocalEc2, instances: Ec2Instances, request_: InstanceRequest
) -> None:
    running = instances.await_running(instances.start(request_))
    (found,) = ec2.instances()
    assert running.address == found["PublicIpAddress"]
    assert running.is_public
    assert found["State"]["Name"] == "running"


def test_an_instance_is_found_by_its_pilot_until_it_has_ended(
    instances: Ec2Instances, request_: InstanceRequest
) -> None:
    made = instances.start(request_)
    instances.start(replace(request_, pilot="p-bbbbbbbb"))
    assert Ec2Instances(REGION, "another process").find("p-aaaaaaaa") == [made]
    instances.terminate(made)
    instances.await_terminated(made)
    instances.terminate(made)
    assert instances.find("p-aaaaaaaa") == []


def test_an_instance_that_ends_instead_of_running_is_told_with_the_reason(
    instances: Ec2Instances, request_: InstanceRequest
) -> None:
    made = instances.start(request_)
    instances.terminate(made)
    with pytest.raises(
        SubmissionError, match=rf"instance {made} in {REGION} does not run: .*; EC2 says: Client\."
    ):
        instances.await_running(made)


def test_what_ec2_refuses_is_told_in_its_words(instances: Ec2Instances, request_: InstanceRequest) -> None:
    with pytest.raises(SubmissionError, match="EC2 gives no instance to pilot p-aaaaaaaa") as caught:
        instances.start(replace(request_, zone="us-east-1a"))
    assert f"in {REGION}: Invalid Availability Zone (us-east-1a) (InvalidParameterValue)" in str(caught.value)
    assert not caught.value.transient


def test_an_instance_that_ec2_does_not_know_cannot_be_terminated_silently(
    instances: Ec2Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ec2_instances, "_KNOWN_AFTER_S", ec2_instances.WAIT_EVERY_S)
    with pytest.raises(SubmissionError, match="instance i-0123456789abcdef0 in eu-west-1 is not known"):
        instances.terminate("i-0123456789abcdef0")


@pytest.mark.parametrize(
    ("code", "advice", "transient"),
    [
        ("InvalidKeyPair.NotFound", "aws ec2 import-key-pair", False),
        ("InvalidAMIID.NotFound", "an image (AMI) of this region", False),
        ("UnauthorizedOperation", "must be allowed ec2:RunInstances", False),
        ("InsufficientInstanceCapacity", "choose another vm_type", True),
        ("SomethingNew", "(SomethingNew)", False),
    ],
)
def test_a_refusal_says_what_to_do(
    instances: Ec2Instances, request_: InstanceRequest, code: str, advice: str, *, transient: bool
) -> None:
    with Stubber(instances._client) as stub:
        stub.add_client_error("run_instances", code, "m" * 5000, http_status_code=400)
        with pytest.raises(SubmissionError, match=re.escape(advice)) as caught:
            instances.start(request_)
    assert caught.value.transient == transient
    assert len(str(caught.value)) < 1000


def test_an_instance_that_is_not_known_yet_is_terminated_all_the_same(
    ec2: LocalEc2, instances: Ec2Instances, request_: InstanceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = instances.start(request_)
    really = instances._client.terminate_instances
    answers = [ClientError({"Error": {"Code": "InvalidInstanceID.NotFound"}}, "TerminateInstances")]

    def terminate(**what: object) -> object:
        if answers:
            raise answers.pop()
        return really(**what)

    monkeypatch.setattr(instances._client, "terminate_instances", terminate)
    instances.terminate(made)
    assert ec2.states() == ["terminated"]


def test_without_credentials_the_error_names_the_profile(
    ec2: LocalEc2, request_: InstanceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SubmissionError, match=r"Unable to locate credentials; name a profile .* AWS_PROFILE"):
        Ec2Instances(REGION, "the test").start(request_)


def test_a_profile_that_is_not_there_is_named(ec2: LocalEc2, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(
        SubmissionError, match=re.escape("for the test: The config profile (nobody) could not be found")
    ):
        Ec2Instances(REGION, "the test")


def test_the_region_may_come_from_the_profile(ec2: LocalEc2, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SubmissionError, match="no region is given; name it, as in ec2\\+ssh://eu-west-1"):
        Ec2Instances("", "the test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-north-1")
    assert Ec2Instances("", "the test").region == "eu-north-1"


def test_an_ec2_that_does_not_answer_may_do_so_later(
    ec2: LocalEc2, request_: InstanceRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ec2_instances, "_ATTEMPTS", 1)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(SubmissionError, match="Could not connect to the endpoint URL") as caught:
        Ec2Instances(REGION, "the test").start(request_)
    assert caught.value.transient


def test_without_boto3_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'pilot-client[ec2]'")):
        Ec2Instances(REGION, "a pilot at ec2+ssh://eu-west-1")
