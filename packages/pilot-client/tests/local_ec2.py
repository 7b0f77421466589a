"""An EC2 of the tests' own: moto's server, in this process."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REGION = "eu-west-1"


class LocalEc2:
    """A server that answers like EC2 and starts nothing."""

    def __init__(self) -> None:
        import boto3
        from moto.server import ThreadedMotoServer  # takes seconds to import

        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._forgotten: set[str] = set()
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self._client = boto3.session.Session("testing", "testing", region_name=REGION).client(
            "ec2", endpoint_url=self.url
        )
        self.image = str(self._client.describe_images(Owners=["amazon"])["Images"][0]["ImageId"])

    def stop(self) -> None:
        self._server.stop()

    def forget(self) -> None:
        """End all instances, and do not speak of them again. (moto's own reset takes seconds.)"""
        known = [instance["InstanceId"] for instance in self.instances()]
        if known:
            self._client.terminate_instances(InstanceIds=known)
        self._forgotten.update(known)

    def give_to(self, user: pytest.MonkeyPatch, folder: Path) -> None:
        """Forget all instances, and make this process one that may use it, and no other EC2."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            user.delenv(name)
        for name, value in self.environment(folder).items():
            user.setenv(name, value)
        self.forget()

    def environment(self, folder: Path) -> dict[str, str]:
        """Return the variables of a user with credentials for it, and with no others."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_CONFIG_FILE": str(folder / "aws-config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws-credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def instances(self) -> list[dict[str, Any]]:
        """Return the instances as EC2 describes them, ended ones too."""
        pages = self._client.describe_instances()["Reservations"]
        found = [instance for page in pages for instance in page["Instances"]]
        return [instance for instance in found if instance["InstanceId"] not in self._forgotten]

    def states(self) -> list[str]:
        """Return the state of each instance."""
        return [instance["State"]["Name"] for instance in self.instances()]

    def attribute(self, instance: str, name: str) -> str:
        """Return an attribute of an instance that its description does not have."""
        answer = self._client.describe_instance_attribute(InstanceId=instance, Attribute=name)
        value = str(answer[name[0].upper() + name[1:]]["Value"])
        return base64.b64decode(value).decode() if name == "userData" else value


@contextmanager
def running_ec2() -> Iterator[LocalEc2]:
    """Run one for the length of a block."""
    running = LocalEc2()
    try:
        yield running
    finally:
        running.stop()
