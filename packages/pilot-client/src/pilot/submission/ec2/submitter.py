"""Pilots on instances of Amazon EC2, ``ec2+ssh://eu-west-1``: one instance per pilot, reached by SSH.

The invariant: from the moment EC2 may have made an instance, whatever goes wrong here terminates it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pilot.submission.base import Notify, PilotOrder
from pilot.submission.place import Place
from pilot_protocol.errors import SubmissionError
from pilot_protocol.specs import PilotSpec

from .found import FoundInstance
from .instances import Ec2Instances, InstanceRequest
from .placeholder import BringUp, Ec2Placeholder, RentedInstance, SubmitAt
from .request import key_file_of, region_of, request_of, user_of

logger = logging.getLogger(__name__)

SSH_LIMIT_S = 300.0
"""How long SSH may take to answer once an instance runs."""

LOOKS = 3
LOOK_PAUSE_S = 2.0
"""EC2 may list a new instance only after some seconds."""

MakeSsh = Callable[[str, str, str], Place]
"""Makes a place of an address, a user and the path of a private key."""


class Ec2Submitter:
    """Starts pilots on instances of their own.

    Args:
        make_ssh: Makes a place of an address, a user and the path of a private key.
        submit_at: Starts a pilot's agent at a place, and returns its placeholder there; called in a thread.
        make_instances: Opens a region: its name and, for messages, what needs it.
        ssh_limit_s: How long SSH may take to answer once an instance runs, in seconds; well below the grace that an
            instance has after its pilot's walltime (`request.GRACE_MIN`).
    """

    def __init__(
        self,
        make_ssh: MakeSsh,
        submit_at: SubmitAt,
        *,
        make_instances: Callable[[str, str], Ec2Instances] = Ec2Instances,
        ssh_limit_s: float = SSH_LIMIT_S,
    ) -> None:
        self._make_ssh = make_ssh
        self._submit_at = submit_at
        self._make_instances = make_instances
        self._ssh_limit_s = ssh_limit_s

    def submit(self, order: PilotOrder, notify: Notify) -> Ec2Placeholder:
        """Ask EC2 for an instance and return; it becomes a pilot in the background.

        Args:
            order: The pilot.
            notify: Told when its agent is gone, or that it could not be started.

        Raises:
            MissingExtraError: boto3 is not installed.
            SubmissionError: The description lacks something, the key file is not good, or EC2 gives no instance.
        """
        request, key_file = request_of(order), key_file_of(order.spec)
        instances = self._open(order.spec)
        user = user_of(order.spec)
        bring_up = BringUp(
            open_place=lambda address: self._make_ssh(address, user, key_file),
            submit_at=self._submit_at,
            user=user,
            ssh_limit_s=self._ssh_limit_s,
        )
        rented = RentedInstance(instances, _start(instances, request))
        try:
            placeholder = Ec2Placeholder(order, rented, bring_up, notify)
            placeholder.begin()
        except BaseException:
            rented.end()
            raise
        return placeholder

    def attach(self, order: PilotOrder, handle: str, notify: Notify) -> FoundInstance:
        """Return the instance of a pilot that another process rented; it can be terminated from here.

        Raises:
            MissingExtraError: boto3 is not installed.
        """
        return FoundInstance(order.pilot, handle, self._open(order.spec), notify)

    def close(self) -> None:
        """Nothing is open but what pilots have; that ends with them."""

    def _open(self, spec: PilotSpec) -> Ec2Instances:
        return self._make_instances(region_of(spec), f"a pilot at {spec.service_url}")


def _start(instances: Ec2Instances, request: InstanceRequest) -> str:
    try:
        return instances.start(request)
    except BaseException as error:
        if not isinstance(error, SubmissionError) or error.transient:
            _clear_away(instances, request.pilot)
        raise


def _clear_away(instances: Ec2Instances, pilot: str) -> None:
    """Terminate an instance that EC2 may have made without our having its id."""
    pauses = threading.Event()
    for _ in range(LOOKS):
        try:
            found = instances.find(pilot)
        except SubmissionError as error:
            logger.error(
                "pilot %s may have left an instance: %s; look for one with the tag pilot-id %s in %s",
                *(pilot, error, pilot, instances.region),
                extra={"action": "ec2.left"},
            )
            return
        if found:
            break
        pauses.wait(LOOK_PAUSE_S)
    else:
        return
    for instance in found:
        RentedInstance(instances, instance).end()
