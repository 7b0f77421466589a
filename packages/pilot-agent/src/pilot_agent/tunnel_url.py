"""Where Redis is, seen through a tunnel: rewriting coordination URLs. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from pilot_protocol.errors import DescriptionError

_SOCKET = re.compile(r"/[\w./+@=~-]+", re.ASCII)
"""A path that ssh takes as it is: no colon, no blank, nothing that it expands."""
_ADDRESS = re.compile(r"(?:[\w.-]+|\[[0-9a-fA-F:]+\]):\d{1,5}")


@dataclass(frozen=True)
class TunnelTarget:
    """Where a tunnel leads.

    Attributes:
        host: As ssh takes it, ``[user@]host``; empty: the host that the batch job was submitted on.
        socket: Path of Redis's socket on that host.
        address: Host and port of Redis, as seen from that host; one of the two is empty.
    """

    host: str
    socket: str = ""
    address: str = ""

    @property
    def end(self) -> str:
        """What ssh forwards to."""
        return self.socket or self.address


def read_target(host: object, socket: object, address: object) -> TunnelTarget:
    """Check the setting ``tunnel`` of an agent.

    Raises:
        DescriptionError: It cannot be used.
    """
    if not isinstance(host, str) or host.startswith("-") or re.search(r"\s", host):
        raise _refuse("host", host, "a text like user@host is required")
    if (socket is None) == (address is None):
        raise _refuse("socket", socket, "either a socket or an address is required")
    if socket is not None and not (isinstance(socket, str) and _SOCKET.fullmatch(socket)):
        raise _refuse("socket", socket, "an absolute path of letters, digits and ./_+@=~- is required")
    if address is not None and not (isinstance(address, str) and _ADDRESS.fullmatch(address)):
        raise _refuse("address", address, "host:port is required")
    return TunnelTarget(host, str(socket or ""), str(address or ""))


def _refuse(name: str, value: object, wanted: str) -> DescriptionError:
    return DescriptionError(
        f"agent setting tunnel.{name} is {value!r}; {wanted}", key=f"tunnel.{name}", value=value
    )


def url_at_socket(url: str, path: str) -> str:
    """Return the URL of the same server and database at a local socket; user and password stay.

    Raises:
        DescriptionError: It wants TLS, which Redis clients do not speak on a socket.
    """
    database = _database(url)
    return f"unix://{_user(url)}{path}" + (f"?db={database}" if database else "")


def url_at_address(url: str, address: str) -> str:
    """Return the URL of the same server and database at ``host:port``; user and password stay.

    Raises:
        DescriptionError: It wants TLS, for a server of another name.
    """
    return f"redis://{_user(url)}{address}/{_database(url)}"


def _user(url: str) -> str:
    """Return ``user:password@`` of a URL as it stands there, empty without one."""
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "unix"}:
        raise DescriptionError(
            f"no tunnel leads to a {parts.scheme}:// coordination URL; "
            "the tunnel itself encrypts, so give it a port or a socket of Redis without TLS",
            key="tunnel",
        )
    user, sign, _ = parts.netloc.rpartition("@")
    return user + sign


def _database(url: str) -> str:
    """Return the number of the database, as the path of a redis:// URL or the query says; empty: the first one."""
    parts = urlsplit(url)
    said = dict(parse_qsl(parts.query)).get("db", "")
    return said or (parts.path.strip("/") if parts.scheme == "redis" else "")
