"""Which place and which queue a ``service_url`` means: the composition of everything that is not ``fork://``.

Batch systems are served by radical.saga, but for those whose adaptors there do not work: Torque as it is shipped, LSF outside
its table of hosts, HTCondor on this machine. They have queues of ours, over the system's own commands.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import replace

from pilot import agent_bundle
from pilot.agent_bundle import Bundle
from pilot.config import ClientConfig
from pilot_session.coordination_url import CoordinationUrl

from .base import AgentEnd, Notify, PilotOrder, Placeholder, scheme_of
from .batch import BatchSubmitter
from .command_queue import CommandQueue
from .dialects import DIALECTS, choose_pbs
from .ec2.place import InstancePlace
from .ec2.submitter import Ec2Submitter
from .local_place import LocalPlace
from .place import Place
from .process_queue import ProcessQueue
from .queue import Queue
from .resource import Resource, Tunnel
from .saga.queue import SagaQueue
from .ssh.place import SshPlace
from .ssh.reverse_tunnel import ReverseTunnel, TunnelNews
from .ssh.target import SshOptions, SshTarget

logger = logging.getLogger(__name__)

_WITHOUT_SAGA = frozenset({"condor", "lsf", "torque", "xt5torque"})


def open_submitter(service_url: str, redis: CoordinationUrl) -> BatchSubmitter:
    """Open the resource of a URL.

    Raises:
        MissingExtraError: It needs radical.saga, which is not installed.
        SubmissionError: The URL cannot be read, or its machine has no such batch system.
    """
    system, _, way = scheme_of(service_url).partition("+")
    is_remote = bool(way) or system in ("ssh", "gsissh")
    place = _open_place(service_url, way or system) if is_remote else LocalPlace()
    try:
        queue = _open_queue(system, service_url, place)
        return BatchSubmitter(_resource(service_url, place, queue), redis, _find_bundle)
    except BaseException:
        place.close()
        raise


def open_cloud(_service_url: str, redis: CoordinationUrl) -> Ec2Submitter:
    """Open a way of submission to EC2, where each pilot has a machine of its own."""

    def make_ssh(address: str, user: str, key_file: str) -> InstancePlace:
        return InstancePlace(SshTarget(address, user), _ssh_options(), key_file)

    def submit_at(order: PilotOrder, notify: Notify, place: Place) -> Placeholder:
        assert isinstance(place, InstancePlace)  # noqa: S101 - it was made above
        resource = _resource(order.spec.service_url, place, ProcessQueue(place))
        place.close_first(resource.close)

        def tell(end: AgentEnd) -> None:
            try:
                place.close()  # while the instance is there: the tunnel takes its socket away
            finally:
                notify(end)

        return BatchSubmitter(resource, redis, _find_bundle).submit(order, tell)

    return Ec2Submitter(make_ssh, submit_at)


def _open_place(service_url: str, way: str) -> SshPlace:
    return SshPlace(SshTarget.from_url(service_url), replace(_ssh_options(), program=way))


def _ssh_options() -> SshOptions:
    return SshOptions.from_config(ClientConfig.from_environment())


def _open_queue(system: str, service_url: str, place: Place) -> Queue:
    if system in ("ssh", "gsissh"):
        return ProcessQueue(place)
    if system == "pbs":
        return CommandQueue(place, DIALECTS[choose_pbs(place)])
    if system in _WITHOUT_SAGA:
        return CommandQueue(place, DIALECTS[system])
    find_login = place.connection.shared if isinstance(place, SshPlace) else None
    return SagaQueue(service_url, find_login=find_login, warm=True)


def _resource(service_url: str, place: Place, queue: Queue) -> Resource:
    lrms = "local" if isinstance(queue, ProcessQueue) else "auto"
    if isinstance(place, SshPlace):
        return Resource(service_url, place, queue, _tunnel_opener(place), lrms=lrms)
    return Resource(service_url, place, queue, None, submit_host=socket.gethostname(), lrms=lrms)


def _tunnel_opener(place: SshPlace) -> Callable[[str], Tunnel]:
    def tell(news: TunnelNews) -> None:
        level, action = (logging.INFO, "tunnel.open") if news.is_open else (logging.WARNING, "tunnel.lost")
        logger.log(level, "%s", news.message, extra={"action": action})

    def open_tunnel(target: str) -> ReverseTunnel:
        tunnel = ReverseTunnel(place.connection, target, tell)
        tunnel.open()
        return tunnel

    return open_tunnel


def _find_bundle() -> Bundle:
    return agent_bundle.build(ClientConfig.from_environment().bundles_dir)
