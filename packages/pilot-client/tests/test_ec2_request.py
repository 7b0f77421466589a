"""What a description of a pilot at EC2 must say, and what it must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pilot.submission import PilotOrder
from pilot.submission.ec2.instances import InstanceRequest
from pilot.submission.ec2.request import key_file_of, region_of, request_of, user_of
from pilot_protocol.compute_descriptions import validate_pilot_compute
from pilot_protocol.errors import SubmissionError
from pilot_protocol.specs import PilotSpec

GIVEN = {
    "service_url": "ec2+ssh://eu-west-1",
    "number_of_processes": 2,
    "walltime": 60.5,
    "vm_id": "ami-0123456789abcdef0",
    "vm_type": "t3.small",
    "vm_ssh_keyname": "my-key",
    "vm_ssh_keyfile": "~/.ssh/my-key.pem",
}


def spec(**more: Any) -> PilotSpec:
    return PilotSpec.from_payload(validate_pilot_compute({**GIVEN, **more}))


def order(**more: Any) -> PilotOrder:
    return PilotOrder("p-aaaaaaaa", spec(**more), {"session": "s-aaaaaaaaaaaaaaaa"})


def test_a_description_becomes_a_request() -> None:
    assert request_of(order(vm_location="eu-west-1b")) == InstanceRequest(
        pilot="p-aaaaaaaa",
        session="s-aaaaaaaaaaaaaaaa",
        image="ami-0123456789abcdef0",
        kind="t3.small",
        key_name="my-key",
        zone="eu-west-1b",
        lifetime_min=76,
    )


@pytest.mark.parametrize("key", ["vm_id", "vm_type", "vm_ssh_keyname", "vm_ssh_keyfile"])
def test_what_an_instance_needs_must_be_given(key: str) -> None:
    with pytest.raises(SubmissionError, match=f"a pilot at ec2\\+ssh://eu-west-1 needs '{key}': the "):
        request_of(order(**{key: None}))


@pytest.mark.parametrize(
    "more", [{"queue": "q"}, {"project": "p"}, {"candidate_hosts": ["h"]}, {"spmd_variation": "mpi"}]
)
def test_what_only_batch_systems_have_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(SubmissionError, match=f"'{next(iter(more))}' means nothing at ec2"):
        request_of(order(**more))


def test_a_pilot_is_one_instance() -> None:
    assert request_of(order(number_of_nodes=1)).pilot == "p-aaaaaaaa"
    with pytest.raises(
        SubmissionError, match=r"number_of_nodes is 2; .* one instance: create several pilots"
    ):
        request_of(order(number_of_nodes=2))


@pytest.mark.parametrize(
    ("more", "region"),
    [
        ({}, "eu-west-1"),
        ({"service_url": "ec2+ssh://eu-west-1/"}, "eu-west-1"),
        ({"service_url": "ec2+ssh://", "region": "us-east-2"}, "us-east-2"),
        ({"service_url": "ec2+ssh://"}, ""),
        ({"region": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_the_region_is_in_the_url_or_beside_it(more: dict[str, Any], region: str) -> None:
    assert region_of(spec(**more)) == region


@pytest.mark.parametrize(
    "rest", ["ubuntu@eu-west-1", "eu-west-1:22", "eu-west-1/ami", "eu-west-1?x=y", "h.example.org"]
)
def test_a_url_with_more_than_a_region_is_refused(rest: str) -> None:
    with pytest.raises(SubmissionError, match="holds more than a region"):
        region_of(spec(service_url=f"ec2+ssh://{rest}"))


def test_two_regions_are_refused() -> None:
    with pytest.raises(
        SubmissionError, match="names the region eu-west-1, 'region' is us-east-2; give one of them"
    ):
        region_of(spec(region="us-east-2"))


def test_the_user_is_amazons_unless_given() -> None:
    assert user_of(spec()) == "ec2-user"
    assert user_of(spec(vm_ssh_username="ubuntu")) == "ubuntu"


def test_the_key_file_is_private(home: Path) -> None:
    path = home / ".ssh" / "my-key.pem"
    with pytest.raises(SubmissionError, match=f"vm_ssh_keyfile {path} cannot be used: No such file"):
        key_file_of(spec())
    path.parent.mkdir()
    path.touch(0o644)
    path.chmod(0o644)
    with pytest.raises(SubmissionError, match=f"has mode 0644, so others .* type: chmod 600 {path}"):
        key_file_of(spec())
    path.chmod(0o600)
    assert key_file_of(spec()) == str(path)
    with pytest.raises(SubmissionError, match="is no file"):
        key_file_of(spec(vm_ssh_keyfile=str(path.parent)))
