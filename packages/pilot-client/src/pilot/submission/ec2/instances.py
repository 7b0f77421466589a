"""Virtual machines of Amazon EC2: started, waited for, found again and terminated, one per pilot.

The only module that knows boto3, which the extra ``ec2`` brings. The invariant: credentials come from the user's AWS
configuration alone, and every instance bears its pilot's id as a tag and ends by itself some time after its pilot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pilot_protocol.errors import MissingExtraError, SubmissionError

PILOT_TAG = "pilot-id"
SESSION_TAG = "pilot-session"

WAIT_EVERY_S = 5
RUNNING_LIMIT_S = 600
TERMINATED_LIMIT_S = 600
_KNOWN_AFTER_S = 15
"""EC2 may take so long until it knows an instance that it has just made."""

_MESSAGE_CHARACTERS = 500
_CONNECT_S = 5
_READ_S = 20
_ATTEMPTS = 4

_HINTS = {
    "AuthFailure": "check the credentials of your AWS profile (AWS_PROFILE)",
    "ExpiredToken": "log in again, for example with: aws sso login",
    "RequestExpired": "log in again, for example with: aws sso login; check the clock of this machine, too",
    "UnauthorizedOperation": "your AWS profile must be allowed ec2:RunInstances, ec2:CreateTags, "
    "ec2:DescribeInstances and ec2:TerminateInstances",
    "InvalidAMIID.NotFound": "vm_id must be an image (AMI) of this region",
    "InvalidAMIID.Malformed": "vm_id must be an image (AMI), like ami-0123456789abcdef0",
    "InvalidKeyPair.NotFound": "vm_ssh_keyname must be a key pair of this region; import yours with: "
    "aws ec2 import-key-pair",
    "InstanceLimitExceeded": "cancel other instances, or ask AWS for a higher limit",
    "VcpuLimitExceeded": "choose a smaller vm_type, or ask AWS for a higher limit",
    "InsufficientInstanceCapacity": "choose another vm_type or vm_location, or try again later",
    "VPCIdNotSpecified": "make a default network with: aws ec2 create-default-vpc",
    "MissingInput": "make a default network with: aws ec2 create-default-subnet",
}
_NOT_YET = {
    "instance_exists": "is not known",
    "instance_running": "does not run",
    "instance_terminated": "has not ended",
}
_TRANSIENT_CODES = frozenset(
    {"InsufficientInstanceCapacity", "InternalError", "RequestLimitExceeded", "Throttling", "Unavailable"}
)


@dataclass(frozen=True)
class InstanceRequest:
    """What instance a pilot asks for.

    Attributes:
        pilot: The pilot's id; also makes asking twice harmless.
        session: Its session.
        image: The AMI.
        kind: The instance type.
        key_name: The key pair that may log in.
        zone: The availability zone; empty: AWS chooses.
        lifetime_min: Minutes after its start at which it shuts down and so terminates, whatever else happens.
    """

    pilot: str
    session: str
    image: str
    kind: str
    key_name: str
    zone: str
    lifetime_min: int


@dataclass(frozen=True)
class Instance:
    """An instance that runs.

    Attributes:
        id: What AWS calls it.
        address: Where to reach it.
        is_public: Whether the address can be reached from outside of its network.
        groups: Ids of its security groups.
    """

    id: str
    address: str
    is_public: bool
    groups: Sequence[str]


class Ec2Instances:
    """The instances of one region.

    Args:
        region: Its name; empty: the one of the AWS profile.
        needed_for: What messages say when boto3 is missing.

    Raises:
        MissingExtraError: boto3 is not installed.
        SubmissionError: There is no region, or the AWS profile does not exist.
    """

    def __init__(self, region: str, needed_for: str) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise MissingExtraError("ec2", needed_for) from error
        patience = Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
        )
        with _told(f"EC2 cannot be used for {needed_for}"):
            self._client = boto3.session.Session(region_name=region or None).client("ec2", config=patience)

    @property
    def region(self) -> str:
        """The name of the region."""
        return str(self._client.meta.region_name)

    def start(self, request: InstanceRequest) -> str:
        """Ask for an instance, and return its id as soon as EC2 has taken it.

        Raises:
            SubmissionError: EC2 does not give it; transient when it may have been made nevertheless, or can be later.
        """
        with _told(f"EC2 gives no instance to pilot {request.pilot} in {self.region}"):
            answer = self._client.run_instances(
                MinCount=1,
                MaxCount=1,
                ImageId=request.image,
                InstanceType=request.kind,
                KeyName=request.key_name,
                ClientToken=request.pilot,
                InstanceInitiatedShutdownBehavior="terminate",
                UserData=dead_mans_switch(request.lifetime_min),
                TagSpecifications=[{"ResourceType": "instance", "Tags": _tags(request)}],
                **({"Placement": {"AvailabilityZone": request.zone}} if request.zone else {}),
            )
        return str(answer["Instances"][0]["InstanceId"])

    def await_running(self, instance: str) -> Instance:
        """Return an instance when it runs and has an address.

        Raises:
            SubmissionError: It ended instead, or takes too long.
        """
        try:
            self._wait("instance_running", instance, RUNNING_LIMIT_S)
        except SubmissionError as error:
            raise SubmissionError(f"{error}{self._reason(instance)}") from error
        found = self._describe(instance)
        address = found.get("PublicIpAddress") or found.get("PrivateIpAddress")
        if not address:
            raise SubmissionError(f"instance {instance} runs in {self.region} but has no address")
        groups = [group["GroupId"] for group in found.get("SecurityGroups", ())]
        return Instance(instance, address, is_public="PublicIpAddress" in found, groups=groups)

    def terminate(self, instance: str) -> None:
        """Have an instance terminated; returns when EC2 has agreed to. One that has ended is no trouble.

        Raises:
            SubmissionError: EC2 does not.
        """
        with _told(f"instance {instance} in {self.region} could not be terminated, and costs money"):
            try:
                self._client.terminate_instances(InstanceIds=[instance])
            except self._client.exceptions.ClientError as error:
                if _code(error) != "InvalidInstanceID.NotFound":
                    raise
                # A new instance is not known everywhere at once.
                self._wait("instance_exists", instance, _KNOWN_AFTER_S)
                self._client.terminate_instances(InstanceIds=[instance])

    def await_terminated(self, instance: str) -> None:
        """Return when nothing runs on an instance any more.

        Raises:
            SubmissionError: It takes too long, or EC2 does not answer.
        """
        self._wait("instance_terminated", instance, TERMINATED_LIMIT_S)

    def find(self, pilot: str) -> list[str]:
        """Return the ids of the instances that a pilot has and that have not ended, whoever started them.

        Raises:
            SubmissionError: EC2 does not answer.
        """
        filters = [
            {"Name": f"tag:{PILOT_TAG}", "Values": [pilot]},
            {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
        ]
        with _told(f"EC2 does not tell which instances pilot {pilot} has in {self.region}"):
            pages = self._client.get_paginator("describe_instances").paginate(Filters=filters)
            return [
                str(instance["InstanceId"])
                for page in pages
                for reservation in page["Reservations"]
                for instance in reservation["Instances"]
            ]

    def _wait(self, what: str, instance: str, limit_s: int) -> None:
        pace = {"Delay": WAIT_EVERY_S, "MaxAttempts": limit_s // WAIT_EVERY_S}
        with _told(f"instance {instance} in {self.region} {_NOT_YET[what]}"):
            self._client.get_waiter(what).wait(InstanceIds=[instance], WaiterConfig=pace)

    def _describe(self, instance: str) -> dict[str, Any]:
        with _told(f"EC2 does not describe instance {instance} in {self.region}"):
            answer = self._client.describe_instances(InstanceIds=[instance])
            found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
            return found

    def _reason(self, instance: str) -> str:
        """Return why EC2 has ended an instance; empty when it does not say."""
        try:
            reason = self._describe(instance).get("StateReason", {}).get("Message", "")
        except SubmissionError:
            return ""
        return f"; EC2 says: {reason}" if reason else ""


def dead_mans_switch(lifetime_min: int) -> str:
    """Return the program with which an instance begins its life by setting the end of it."""
    return f"#!/bin/sh\nshutdown -h +{lifetime_min}\n"


def _tags(request: InstanceRequest) -> list[dict[str, str]]:
    tags = {"Name": f"pilot {request.pilot}", PILOT_TAG: request.pilot, SESSION_TAG: request.session}
    return [{"Key": name, "Value": value} for name, value in tags.items()]


@contextmanager
def _told(trouble: str) -> Iterator[None]:
    """Turn what AWS refuses into an error that says what it means and what to do."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        raise _refusal(trouble, error) from error
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise SubmissionError(
            f"{trouble}: {error}; name a profile of ~/.aws/credentials with AWS_PROFILE, or type: aws configure"
        ) from error
    except exceptions.NoRegionError as error:
        raise SubmissionError(f"{trouble}: no region is given; name it, as in ec2+ssh://eu-west-1") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise SubmissionError(f"{trouble}: {error}", transient=True) from error
    except exceptions.BotoCoreError as error:
        raise SubmissionError(f"{trouble}: {error}") from error


def _refusal(trouble: str, error: Any) -> SubmissionError:
    code = _code(error)
    said = str(error.response["Error"].get("Message", ""))[:_MESSAGE_CHARACTERS]
    hint = f"; {_HINTS[code]}" if code in _HINTS else ""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return SubmissionError(
        f"{trouble}: {said} ({code}){hint}", transient=code in _TRANSIENT_CODES or status >= 500
    )


def _code(error: Any) -> str:
    return str(error.response["Error"].get("Code", ""))
