"""Sends the content of a local file, many blocks ahead of what is confirmed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pilot_data.job import Job
from pilot_data.source_file import SourceFile

from .arriving import LARGE, Arriving
from .replies import Reply
from .session import Session
from .sftp_wire import Buffer
from .streams import ReadAhead

_IN_FLIGHT = 64
_BLOCKS = 4
"""Blocks that a thread hands over at once."""


async def send(session: Session, source: SourceFile, arriving: Arriving, job: Job) -> None:
    """Send a file from where an earlier attempt has stopped; what is there already is read, and hashed, here only.

    Args:
        session: Of the host.
        source: The file.
        arriving: Where it goes.
        job: What to keep to.

    Raises:
        TransferError: It cannot be read, or not be written.
    """
    block = session.sftp.limits.write
    if source.size < LARGE:
        await _send(source, lambda: source.read(block), arriving, job)
        return
    ahead = ReadAhead(source, block, _BLOCKS)
    try:
        await _send(source, ahead.read, arriving, job)
    finally:
        ahead.stop()


async def _send(source: SourceFile, read: Callable[[], Buffer], arriving: Arriving, job: Job) -> None:
    unconfirmed: deque[tuple[Reply, int]] = deque()
    offset = 0
    while offset < source.size and (data := read()):
        end = offset + len(data)
        if end > arriving.arrived:
            unconfirmed.append((arriving.write(data, offset), len(data)))
        offset = end
        if len(unconfirmed) >= _IN_FLIGHT:
            await _confirmed(*unconfirmed.popleft(), arriving, job)
    for reply, count in unconfirmed:
        await _confirmed(reply, count, arriving, job)


async def _confirmed(reply: Reply, count: int, arriving: Arriving, job: Job) -> None:
    await arriving.written(reply, count)
    job.moved(count)
