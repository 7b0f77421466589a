"""The way from another machine back to the session's Redis server: a unix socket there, forwarded over SSH.

The socket lies in a folder that its owner alone can enter. When the connection is lost, whatever ended it, a thread opens
the tunnel again under the same path, for as long as it is not closed.

The invariant: the socket's path does not change, and no port is opened on the other machine.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import selectors
import shlex
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from pilot_protocol.errors import SubmissionError

from .connection import SshConnection
from .master import Master
from .refusals import quoted, refusal

logger = logging.getLogger(__name__)

PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Before each attempt to open a lost tunnel; the last one again and again."""

CLOSE_LIMIT_S = 30.0
FOLDER_LIMIT = 70
"""The longest parent of the folder, so that the socket's path stays below the limit of 104 bytes."""

_CHOOSE = (
    'd="${{XDG_RUNTIME_DIR:-}}"; [ -n "$d" ] && [ -d "$d" ] && [ -w "$d" ] && [ "${{#d}}" -le {limit} ] || d=/tmp; '
    'printf %s "$d"'
)
# The folder may be there from before a loss, or gone with a reboot; one that a stranger has made meanwhile is refused.
_PREPARE = (
    'umask 077; d={folder}; mkdir "$d" 2>/dev/null || {{ [ -d "$d" ] && [ ! -L "$d" ] && [ -O "$d" ]; }} || '
    '{{ echo "$d cannot be made, or belongs to another user" >&2; exit 1; }}; chmod 700 "$d" && rm -f "$d"/redis.sock'
)


@dataclass(frozen=True)
class TunnelNews:
    """A change of a tunnel.

    Attributes:
        is_open: Whether it works now.
        message: What happened.
    """

    is_open: bool
    message: str


NotifyTunnel = Callable[[TunnelNews], None]
"""Told of every loss and every return, from the tunnel's thread. Raises nothing."""


class ReverseTunnel:
    """A way back to a Redis server.

    Args:
        connection: To the machine that is to reach it; it stays its owner's to close, after the tunnel.
        local: The server as this machine reaches it: ``host:port`` or the absolute path of a unix socket.
        notify: Told of losses and returns.
    """

    def __init__(self, connection: SshConnection, local: str, notify: NotifyTunnel) -> None:
        self._connection = connection
        self._local = local
        self._notify = notify
        self._folder = ""
        self._stop: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def remote_socket(self) -> str:
        """Absolute path of the unix socket on the other machine; known once the tunnel is open."""
        return f"{self._folder}/redis.sock"

    def open(self) -> None:
        """Open the tunnel, and keep it open.

        Raises:
            SubmissionError: The machine is not reached, or its SSH server does not forward unix sockets.
        """
        parent = self._done(_CHOOSE.format(limit=FOLDER_LIMIT))
        self._folder = f"{parent}/pilot-{secrets.token_hex(8)}"
        try:
            lookout = self._establish()
        except BaseException:
            self._remove()
            raise
        self._stop, stopped = socket.socketpair()
        name = f"pilot-tunnel {self._connection.name}"
        self._thread = threading.Thread(target=self._keep, args=(lookout, stopped), name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close the tunnel, and remove its socket and folder; nothing happens when that is done already."""
        if self._stop is None or self._thread is None:
            return
        self._stop.close()
        self._thread.join(CLOSE_LIMIT_S)

    def _keep(self, first: socket.socket, stopped: socket.socket) -> None:
        with stopped:
            lookout: socket.socket | None = first
            while lookout is not None and _lost(lookout, stopped):
                self._notify(
                    TunnelNews(is_open=False, message=f"the tunnel from {self._connection.name} is lost")
                )
                lookout = self._reopen(stopped)
        self._remove()

    def _reopen(self, stopped: socket.socket) -> socket.socket | None:
        """Open the tunnel again, with growing pauses between attempts; None when it was closed meanwhile."""
        pauses = itertools.chain(PAUSES_S, itertools.repeat(PAUSES_S[-1]))
        while not _readable([stopped], next(pauses)):
            try:
                lookout = self._establish()
            except SubmissionError as error:
                logger.info("tunnel.closed %s", error, extra={"action": "tunnel.closed"})
                continue
            self._notify(
                TunnelNews(is_open=True, message=f"the tunnel from {self._connection.name} is open again")
            )
            return lookout
        return None

    def _establish(self) -> socket.socket:
        """Open the tunnel over the live master connection; returns what ends with that one."""
        self._done(_PREPARE.format(folder=shlex.quote(self._folder)))
        master = self._connection.master()
        try:
            lookout = master.lookout()
        except OSError as error:
            raise refusal(self._connection.name, "") from error
        try:
            self._forward(master)
        except BaseException:
            lookout.close()
            raise
        return lookout

    def _forward(self, master: Master) -> None:
        done = master.control("forward", "-R", self._forwarding)
        if done.code != 0:
            raise refusal(self._connection.name, done.err)

    @property
    def _forwarding(self) -> str:
        return f"{self.remote_socket}:{forwarded(self._local)}"

    def _done(self, command: str) -> str:
        done = self._connection.run(command)
        if done.code != 0:
            raise SubmissionError(
                f"no tunnel from {self._connection.name}: its socket's folder is not made{quoted(done.err)}"
            )
        return done.text

    def _remove(self) -> None:
        folder = shlex.quote(self._folder)
        try:
            self._connection.master().control("cancel", "-R", self._forwarding)
            self._done(f"rm -f {folder}/redis.sock && {{ [ ! -d {folder} ] || rmdir {folder}; }}")
        except SubmissionError as error:
            logger.warning("tunnel.left folder=%s %s", self._folder, error, extra={"action": "tunnel.left"})


def forwarded(local: str) -> str:
    """Return a server's address as ``ssh -R`` takes it.

    Args:
        local: ``host:port``, ``[address]:port`` or an absolute path.
    """
    if local.startswith("/"):
        return local.replace("\\", "\\\\").replace(":", "\\:")
    host, _, port = local.rpartition(":")
    bare = host.strip("[]")
    return f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"


def _lost(lookout: socket.socket, stopped: socket.socket) -> bool:
    """Wait for the end of the master connection or of the tunnel; returns whether it is that of the connection."""
    with lookout:
        while True:
            ready = _readable([lookout, stopped], None)
            if stopped in ready:
                return False
            if _ended(lookout):
                return True


def _readable(sockets: list[socket.socket], limit_s: float | None) -> list[socket.socket]:
    with selectors.DefaultSelector() as selector:
        for each in sockets:
            selector.register(each, selectors.EVENT_READ, each)
        return [key.data for key, _ in selector.select(limit_s)]


def _ended(lookout: socket.socket) -> bool:
    try:
        return not lookout.recv(4096)
    except ConnectionError:
        return True
