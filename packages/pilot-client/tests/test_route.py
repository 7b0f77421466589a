"""Which way agents take to Redis, and what is refused before anything is submitted."""

from __future__ import annotations

import pytest

from pilot.submission.resource import Resource
from pilot.submission.route import Route, local_target
from pilot_protocol.errors import SubmissionError
from pilot_session.coordination_url import parse

SOCKET = "unix://:s3cret@/run/user/1/redis.sock"
TCP = "redis://:s3cret@localhost:6380/2"
TLS = "rediss://:s3cret@redis.example.org"


class Unused:
    """A place and a queue that nothing is asked of."""

    name = "login.example.org"

    def close(self) -> None:
        return


class KnownTunnel:
    remote_socket = "/tmp/pilot-x/redis.sock"
    is_closed = False

    def close(self) -> None:
        self.is_closed = True


def resource(*, tunnels: list[str] | None = None, submit_host: str = "") -> Resource:
    tunnel = KnownTunnel()

    def open_tunnel(target: str) -> KnownTunnel:
        assert tunnels is not None
        tunnels.append(target)
        return tunnel

    opener = None if tunnels is None else open_tunnel
    return Resource("slurm+ssh://login.example.org", Unused(), Unused(), opener, submit_host=submit_host)  # type: ignore[arg-type]


@pytest.mark.parametrize(("url", "target"), [(SOCKET, "/run/user/1/redis.sock"), (TCP, "localhost:6380")])
def test_a_remote_resource_is_reached_by_one_tunnel(url: str, target: str) -> None:
    opened: list[str] = []
    far = resource(tunnels=opened)
    for _ in range(2):
        assert far.route(parse(url), tunnel=True).settings() == {
            "tunnel": {"host": "", "socket": "/tmp/pilot-x/redis.sock"}
        }
    assert opened == [target]


def test_agents_of_a_local_queue_come_to_this_host() -> None:
    near = resource(submit_host="head")
    socket, tcp = (near.route(parse(url), tunnel=True).settings() for url in (SOCKET, TCP))
    assert socket == {"tunnel": {"host": "head", "socket": "/run/user/1/redis.sock"}}
    assert tcp == {"tunnel": {"host": "head", "address": "localhost:6380"}}


def test_without_a_tunnel_agents_are_told_nothing() -> None:
    for far in (resource(), resource(tunnels=[])):
        assert far.route(parse(TCP), tunnel=False) == Route()
    assert Route().settings() == {}


def test_a_socket_of_this_machine_is_refused_to_others() -> None:
    assert resource().route(parse(SOCKET), tunnel=False) == Route()
    with pytest.raises(SubmissionError, match="add 'tunnel': True"):
        resource(tunnels=[]).route(parse(SOCKET), tunnel=False)


def test_tls_ends_at_the_server_and_not_at_a_tunnel() -> None:
    with pytest.raises(SubmissionError, match="TLS certificate does not hold"):
        resource(tunnels=[]).route(parse(TLS), tunnel=True)


def test_an_address_of_the_sixth_version_is_written_in_brackets() -> None:
    assert local_target(parse("redis://[::1]:6379")) == "[::1]:6379"
