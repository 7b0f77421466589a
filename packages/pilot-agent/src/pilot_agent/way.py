"""Which way an agent takes to Redis: straight, or through a tunnel from the host where it was submitted."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pilot_protocol.errors import DescriptionError

from .config import AgentConfig
from .lrms.local import is_same_host
from .resources import Resources
from .tunnel import Tunnel, make_folder
from .tunnel_url import TunnelTarget, url_at_address, url_at_socket

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Way:
    """A way to Redis.

    Attributes:
        url: Of Redis at the near end, with the password.
        tunnel: To be open before a connection is made; None: nothing is in between.
    """

    url: str
    tunnel: Tunnel | None = None

    async def open(self) -> None:
        """See to it that the way is open; raises as :meth:`Tunnel.open`."""
        if self.tunnel is not None:
            await self.tunnel.open()

    def pids(self) -> Collection[int]:
        """Return the processes that keep it open."""
        return () if self.tunnel is None else self.tunnel.pids

    def close(self) -> None:
        """Leave nothing of it."""
        if self.tunnel is not None:
            self.tunnel.close()


def choose_way(config: AgentConfig, resources: Resources) -> Way:
    """Return how an agent reaches Redis.

    Raises:
        DescriptionError: The tunnel leads nowhere, or the coordination URL is none for a tunnel.
        CoordinationError: There is no folder for the tunnel's socket.
    """
    target, url = config.tunnel, config.coordination_url
    if target is None:
        return Way(url)
    host = tunnel_host(target, resources)
    if not host:
        return Way(
            url_at_socket(url, target.socket) if target.socket else url_at_address(url, target.address)
        )
    tunnel = Tunnel(host, target, make_folder(config.pilot))
    return Way(url_at_socket(url, tunnel.socket), tunnel)


def tunnel_host(target: TunnelTarget, resources: Resources) -> str:
    """Return the host that a tunnel leads to; empty when that is the machine that the agent is on.

    Raises:
        DescriptionError: Nobody tells which host it is.
    """
    host = target.host or resources.submit_host
    if not host and resources.allocation is not None:
        raise DescriptionError(
            f"{resources.allocation.system} does not tell where job {resources.allocation.job} was submitted; "
            "name the host of the tunnel",
            key="tunnel.host",
            value=target.host,
        )
    name = host.rpartition("@")[2]
    is_here = name in _THIS_MACHINE or is_same_host(name, resources.machine)
    return "" if is_here else host
