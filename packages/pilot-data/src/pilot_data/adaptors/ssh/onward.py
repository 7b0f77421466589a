"""A host that reaches another by itself: the user's own ``sftp``, run there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress

from pilot_data.entries import PARTIAL_PREFIX
from pilot_data.errors import TransferError
from pilot_data.job import Job

from .connection import Channel, Connection, Login
from .problems import code_of
from .session import Session
from .sftp_commands import ECHO, look_line, sftp_command
from .sftp_wire import Status

_NOTHING = b"#\n"
"""A comment: it is repeated, too, and so tells that what was before it is done."""

_PIECE = 64 << 10
_LOOK_S = 0.5
_PROBE_LOOKS = 40
_END_S = 20.0

_known: dict[tuple[Login, Login], bool] = {}


class OnwardSftp:
    """An ``sftp`` that one host runs towards another.

    Args:
        channel: Of a host that has started `sftp_command`.
        connection: To the host that runs it.
        target: The other host.
    """

    def __init__(self, channel: Channel, connection: Connection, target: Login) -> None:
        self._channel = channel
        self._connection = connection
        self._way = f"{connection.login.name} to {target.name}"
        self._rest = b""
        self._said: list[str] | None = None
        self._last = ""
        channel.wait_at_most(_LOOK_S)

    def tell(self, lines: Sequence[bytes]) -> None:
        """Give commands; see `done`."""
        with suppress(OSError, EOFError):  # it has ended already, and `done` tells what it said last
            self._channel.put(*lines, _NOTHING)
            self._channel.flush()

    def done(self, job: Job, looks: int = 0) -> list[list[str]]:
        """Wait for a command to end, and return what was said about each that has ended, in their order.

        The comment behind the commands that were given together is not counted.

        Args:
            job: Is looked at while nothing comes.
            looks: After how many looks, a half second each, to give up; 0 for never.

        Raises:
            ConnectionLostError: The connection to the host that runs it is lost.
            TransferError: It has ended before, or does not answer; trying again may help.
            CanceledError: The job was canceled.
        """
        found: list[list[str]] = []
        looked = 0
        while not found:
            job.check()
            with suppress(TimeoutError):
                found = self._ended(self._read())
                continue
            looked += 1
            if looked == looks:
                raise TransferError(f"{self._way}: sftp there does not answer", transient=True)
        return found

    def close(self) -> None:
        """End it, and wait until it has: nothing that it was told happens after this."""
        with suppress(OSError, EOFError):
            self._channel.wait_at_most(_END_S)
            self._channel.end_input()
            while self._channel.receive(_PIECE):
                continue
        self._channel.close()

    def _read(self) -> bytes:
        data = self._channel.receive(_PIECE)
        if not data:
            self._connection.check()
            last = self._rest.decode("utf-8", "replace").strip() or self._last
            # Our own connections are not lost, so it is no `ConnectionLostError`, which would end them for others, too.
            raise TransferError(
                f"{self._way}: sftp there has ended: {last or 'it says nothing'}; what had arrived stays",
                transient=True,
            )
        return data

    def _ended(self, data: bytes) -> list[list[str]]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        found: list[list[str]] = []
        for line in lines:
            if not line.startswith(ECHO):
                self._last = line.decode("utf-8", "replace").strip() or self._last
                if self._said is not None:
                    self._said.append(self._last)
                continue
            if self._said is not None:
                found.append(self._said)
            self._said = None if line.rstrip() == ECHO + _NOTHING.rstrip() else []
        return found


def begun(source: Connection, target: Login) -> OnwardSftp | None:
    """Return an ``sftp`` that a host runs towards another; None where it may run no programs.

    Raises:
        ConnectionLostError: The connection to the host is lost.
    """
    command = sftp_command(target)
    channel = source.run(command) if command else None
    return None if channel is None else OnwardSftp(channel, source, target)


def leads_to(source: Connection, target: Session) -> bool:
    """Return whether a host reaches another one by itself without being asked anything; found out once.

    Raises:
        ConnectionLostError: Our own connection to one of them is lost.
    """
    pair = source.login, target.connection.login
    if pair not in _known:
        _known[pair] = _found_out(source, target)
    return _known[pair]


def _found_out(source: Connection, target: Session) -> bool:
    """Let it look for a folder that we make: an address may lead to another host from there than from here."""
    name = f"{PARTIAL_PREFIX}{uuid.uuid4().hex}".encode()
    sftp = target.sftp
    if code_of(sftp.answer(sftp.make_folder(name))) != Status.OK:
        return False
    try:
        return _sees(source, target.connection.login, name)
    finally:
        sftp.answer(sftp.remove_folder(name))


def _sees(source: Connection, target: Login, name: bytes) -> bool:
    onward = begun(source, target)
    if onward is None:
        return False
    try:
        onward.tell([look_line(name)])
        onward.done(Job(), _PROBE_LOOKS)
    except TransferError:
        source.check()
        return False
    finally:
        onward.close()
    return True
