"""Which way a pilot's agent takes to the Redis server: straight, or through SSH. Pure.

The invariant: a way that cannot work is refused before anything is submitted.
"""

from __future__ import annotations

from dataclasses import dataclass

from pilot_protocol.errors import SubmissionError
from pilot_session.coordination_url import CoordinationUrl

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Route:
    """What an agent is told about the way to Redis.

    Attributes:
        host: The host to which the agent opens an SSH connection, unless it runs there; empty: the one from which its
            job was submitted. None: it connects straight.
        target: On that host, the server's socket (an absolute path) or ``host:port``.
    """

    host: str | None = None
    target: str = ""

    def settings(self) -> dict[str, dict[str, str]]:
        """Return the part of the agent's settings that says so."""
        if self.host is None:
            return {}
        kind = "socket" if self.target.startswith("/") else "address"
        return {"tunnel": {"host": self.host, kind: self.target}}


def local_target(url: CoordinationUrl) -> str:
    """Return how this machine reaches the server: the path of its socket, or ``host:port``."""
    if url.scheme == "unix":
        return url.path
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port}"


def check_straight(url: CoordinationUrl, service_url: str, *, is_remote: bool) -> None:
    """Check that agents of a resource can reach the server without a tunnel, as far as that can be known here.

    A server on this machine's loopback interface is given the benefit of the doubt: the resource may be this machine.

    Raises:
        SubmissionError: They cannot.
    """
    if url.scheme == "unix" and is_remote:
        raise SubmissionError(
            f"the Redis server is a socket of this machine, where a pilot at {service_url} cannot reach it; "
            "add 'tunnel': True to its description, or use a server that listens on the network"
        )


def check_tunnel(url: CoordinationUrl) -> None:
    """Check that the server can be reached through a tunnel.

    Raises:
        SubmissionError: It speaks TLS: its certificate does not name the tunnel's end.
    """
    if url.scheme == "rediss":
        raise SubmissionError(
            "a tunnel leads to a socket, for which the server's TLS certificate does not hold; use redis:// with "
            "'tunnel': True, since SSH encrypts too, or leave the tunnel out"
        )
