"""Hashes files at the host where they are, by one program there that is asked for many."""

from __future__ import annotations

import re
from collections import deque
from importlib.resources import files
from typing import NamedTuple

from pilot_data.errors import ConnectionLostError

from .connection import Channel, Connection
from .problems import told_as_lost
from .replies import Reply

_PROBE = b"/dev/null"
_EMPTY = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_PROBE_S = 20.0
_SHA256 = re.compile(rb"[0-9a-f]{64}")
_ANSWERED = -1
_PIECE = 1 << 16


class Tool(NamedTuple):
    """A way to hash.

    Attributes:
        command: For any login shell: sh, csh and fish read it alike.
        takes_sizes: Whether it follows files up to the size that it is told.
    """

    command: str
    takes_sizes: bool


_EACH = 'xargs -0 -n 1 sh -c \'if test -p "$0"; then echo -; else {} < "$0" 2>/dev/null || echo -; fi\''
_READER = "import sys; exec(sys.stdin.buffer.raw.readline())"
TOOLS = (
    Tool(f"env \"PATH=/usr/bin:$PATH\" python3 -I -S -c '{_READER}'", takes_sizes=True),
    Tool(_EACH.format("openssl dgst -sha256 -r"), takes_sizes=False),
    Tool(_EACH.format("sha256sum"), takes_sizes=False),
)
"""Tried in this order. File names go through standard input, and never through what prints names.

The system's Python comes first: one of a version manager or a module takes ten times as long to start.
"""


class RemoteHashes:
    """A program at a host that hashes files.

    Args:
        channel: Of the program.
        tool: Which one it is.
        host: How the host is called in errors.
    """

    def __init__(self, channel: Channel, tool: Tool, host: str) -> None:
        self._channel = channel
        self._tool = tool
        self._host = host
        self._asked: deque[Reply] = deque()
        self._unsent: list[bytes] = []
        self._rest = b""

    @property
    def open_requests(self) -> int:
        """How many answers are still to come."""
        return len(self._asked)

    @property
    def follows(self) -> bool:
        """Whether it may be asked for a file that is still being written."""
        return self._tool.takes_sizes

    def ask(self, path: bytes, size: int = 0) -> Reply:
        """Queue a question for a file's hash; see `flush` and `hash_in`.

        Args:
            path: Absolute.
            size: Bytes that it will have; a smaller one is followed as it grows, by a tool that `follows`.
        """
        self._unsent.append(b"%d %s\0" % (size, path) if self._tool.takes_sizes else path + b"\0")
        reply = Reply()
        self._asked.append(reply)
        return reply

    def flush(self) -> None:
        """Send what is queued.

        Raises:
            ConnectionLostError: The connection is lost.
        """
        if self._unsent:
            records, self._unsent = b"".join(self._unsent), []
            with told_as_lost(self._host):
                self._channel.put(records)
                self._channel.flush()

    def receive(self, *, wait: bool) -> list[Reply]:
        """Return the answers that have come; with ``wait``, at least one.

        Raises:
            ConnectionLostError: The program has ended.
        """
        found: list[Reply] = []
        while (wait and not found) or self._channel.is_ready:
            *lines, self._rest = (self._rest + self._read()).split(b"\n")
            for line in lines:
                reply = self._asked.popleft()
                reply.settle(_ANSWERED, line)
                found.append(reply)
        return found

    def starts(self) -> bool:
        """Return whether the program works: it is asked for a file whose hash is known."""
        self._channel.wait_at_most(_PROBE_S)
        try:
            if self._tool.takes_sizes:
                self._channel.put(b"exec(%r)\n" % _script())
            self.ask(_PROBE)
            self.flush()
            # Start-up files of the login shell may have printed something before.
            while not (_EMPTY in self._rest and self._rest.endswith(b"\n")) and (
                data := self._channel.receive(4096)
            ):
                self._rest += data
        except (OSError, ConnectionLostError):
            return False
        works = _EMPTY in self._rest
        self._rest = b""
        self._asked.clear()
        self._channel.wait_at_most(None)
        return works

    def close(self) -> None:
        """End the program: its standard input ends. What is in the middle of a file lets go of it first, if it can."""
        try:
            if self._asked and self._tool.takes_sizes:
                self._channel.end_input()
                while self._channel.receive(_PIECE):
                    continue
        except (OSError, EOFError):
            pass  # a connection that is lost has ended, too
        finally:
            self._channel.close()

    def _read(self) -> bytes:
        with told_as_lost(self._host):
            data = self._channel.receive(_PIECE)
            if not data:
                raise EOFError("the program that hashes files there has ended")
        return data


def hash_in(reply: Reply) -> str:
    """Return the SHA-256 that was answered; empty where there is no such file."""
    found = _SHA256.match(reply.body)
    return found[0].decode() if found else ""


def started(connection: Connection) -> RemoteHashes | None:
    """Return a program that hashes at a host; None where no program may be run, or none of ours is there.

    Raises:
        ConnectionLostError: The connection is lost.
    """
    while connection.hash_tool < len(TOOLS):
        tool = TOOLS[connection.hash_tool]
        channel = connection.run(tool.command)
        if channel is None:
            connection.hash_tool = len(TOOLS)
            return None
        hashes = RemoteHashes(channel, tool, connection.login.name)
        try:
            works = hashes.starts()
        except BaseException:
            hashes.close()
            raise
        if works:
            return hashes
        hashes.close()
        connection.check()
        connection.hash_tool += 1
    return None


def _script() -> str:
    text = files(__package__).joinpath("remote_hash_script.py").read_text("utf-8")
    return text.replace(
        "from __future__ import annotations", ""
    )  # Python 3.6, still found at hosts, has none
