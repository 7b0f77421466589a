"""What a description says of an EC2 instance: read, checked, and refused where EC2 could not keep it.

The invariant: nothing is started, and nothing costs money, before the description and the key file are known to be good.
"""

from __future__ import annotations

import math
import os
import re
import stat
from urllib.parse import urlsplit

from pilot.submission.base import PilotOrder
from pilot_protocol.errors import SubmissionError
from pilot_protocol.specs import PilotSpec

from .instances import InstanceRequest

DEFAULT_USER = "ec2-user"
"""Of Amazon's own images; others have ``ubuntu``, ``admin``, ``rocky``, …"""

GRACE_MIN = 15
"""How long after its pilot's walltime an instance may live: it starts, gets its files, and saves its last ones."""

_NEEDED = {
    "vm_id": "the image, like ami-0123456789abcdef0",
    "vm_type": "the instance type, like c7i.2xlarge",
    "vm_ssh_keyname": "the name of a key pair of the region",
    "vm_ssh_keyfile": "the file with the private half of the key pair",
}
_REGION = re.compile(r"[a-z0-9-]*")
_MEANINGLESS = ("queue", "project", "candidate_hosts", "spmd_variation")


def request_of(order: PilotOrder) -> InstanceRequest:
    """Return the instance that a pilot asks for.

    Raises:
        SubmissionError: Something is missing, or cannot be had at EC2.
    """
    spec = order.spec
    for key, what in _NEEDED.items():
        if not getattr(spec, key):
            raise SubmissionError(f"a pilot at {spec.service_url} needs {key!r}: {what}")
    for key in _MEANINGLESS:
        if getattr(spec, key):
            raise SubmissionError(f"{key!r} means nothing at {spec.service_url}; leave it out")
    if (spec.number_of_nodes or 1) > 1:
        raise SubmissionError(
            f"number_of_nodes is {spec.number_of_nodes}; a pilot at {spec.service_url} is one instance: create several "
            "pilots, or choose a larger vm_type"
        )
    return InstanceRequest(
        pilot=order.pilot,
        session=str(order.settings["session"]),
        image=spec.vm_id,
        kind=spec.vm_type,
        key_name=spec.vm_ssh_keyname,
        zone=spec.vm_location,
        lifetime_min=math.ceil(spec.walltime) + GRACE_MIN,
    )


def region_of(spec: PilotSpec) -> str:
    """Return the region that a pilot is to run in; empty for the one of the AWS profile.

    Raises:
        SubmissionError: The URL holds more than a region, or another one than ``region``.
    """
    url = urlsplit(spec.service_url)
    named = url.netloc
    if not _REGION.fullmatch(named) or url.path.strip("/") or url.query or url.fragment:
        raise SubmissionError(
            f"{spec.service_url} holds more than a region; give one like ec2+ssh://eu-west-1, and the user as "
            "'vm_ssh_username'"
        )
    if named and spec.region and named != spec.region:
        raise SubmissionError(
            f"service_url names the region {named}, 'region' is {spec.region}; give one of them"
        )
    return named or spec.region


def key_file_of(spec: PilotSpec) -> str:
    """Return the path of the private key, which is there and nobody else's.

    Raises:
        SubmissionError: It is not there, no file, or others can read it.
    """
    path = os.path.abspath(os.path.expanduser(spec.vm_ssh_keyfile))
    try:
        found = os.stat(path)
    except OSError as error:
        raise SubmissionError(f"vm_ssh_keyfile {path} cannot be used: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise SubmissionError(f"vm_ssh_keyfile {path} is no file; give the private half of the key pair")
    if found.st_mode & 0o077:
        raise SubmissionError(
            f"vm_ssh_keyfile {path} has mode {stat.S_IMODE(found.st_mode):04o}, so others can read the private key, "
            f"and ssh will not use it; type: chmod 600 {path}"
        )
    if not os.access(path, os.R_OK):
        raise SubmissionError(f"vm_ssh_keyfile {path} cannot be read by you")
    return path


def user_of(spec: PilotSpec) -> str:
    """Return the user to log in as."""
    return spec.vm_ssh_username or DEFAULT_USER
