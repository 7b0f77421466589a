"""Sends the content of a local file, many blocks ahead of what is confirmed."""

from __future__ import annotations

from collections.abc import Callable

from pilot_data.source_file import SourceFile

from .arriving import LARGE, Arriving
from .session import Session
from .sftp_wire import Buffer
from .streams import ReadAhead

_IN_FLIGHT = 64
_BLOCKS = 4
"""Blocks that a thread hands over at once."""


async def send(session: Session, source: SourceFile, arriving: Arriving) -> None:
    """Send a file from where an earlier attempt has stopped; what is there already is read, and hashed, here only.

    Args:
        session: Of the host.
        source: The file.
        arriving: Where it goes; confirms the last blocks when it is finished.

    Raises:
        TransferError: It cannot be read, or not be written.
    """
    block = session.sftp.limits.write
    if source.size < LARGE or not session.connection.encrypts_here:
        await _send(lambda: source.read(block), source.size, arriving)
        return
    ahead = ReadAhead(source, block, _BLOCKS)
    try:
        await _send(ahead.read, source.size, arriving)
    finally:
        ahead.stop()


async def _send(read: Callable[[], Buffer], size: int, arriving: Arriving) -> None:
    offset = 0
    while offset < size and (data := read()):
        end = offset + len(data)
        if end > arriving.arrived:
            arriving.write(data, offset)
            if arriving.unconfirmed > _IN_FLIGHT:
                await arriving.confirmed(_IN_FLIGHT // 2)
        offset = end
