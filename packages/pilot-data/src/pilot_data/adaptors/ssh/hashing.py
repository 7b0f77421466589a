"""The checksums of files as they stand at a host."""

from __future__ import annotations

import hashlib
from collections import deque

from pilot_data.job import Job

from . import sftp_wire as wire
from .problems import checked, code_of
from .remote_hashes import hash_in
from .replies import Reply
from .session import Session
from .sftp_wire import Kind, Status

_IN_FLIGHT = 32


async def checksum(session: Session, path: bytes, job: Job) -> str:
    """Return the SHA-256 of a file; empty where there is no regular one.

    It is read where it is, if a program may be run there, and else it is read back from there.

    Args:
        session: Of its host.
        path: Absolute.
        job: What to keep to.
    """
    job.check()
    hashes = session.hashes()
    found = hash_in(await hashes.ask(path)) if hashes is not None else ""
    return found or await _read_back(session, path, job)


async def _read_back(session: Session, path: bytes, job: Job) -> str:
    found = await session.sftp.stat(path)
    if found.kind != Kind.ATTRS or not wire.Reader(found.body).attributes().is_file:
        return ""
    opened = await session.sftp.open(path, wire.READING)
    if code_of(opened) == Status.NO_SUCH_FILE:
        return ""
    what = f"cannot read {session.shown(path)}"
    handle = wire.Reader(checked(opened, what).body).string()
    try:
        return await _digest(session, handle, what, job)
    finally:
        session.sftp.close_handle(handle)


async def _digest(session: Session, handle: bytes, what: str, job: Job) -> str:
    """Return the hash of all that there is up to the end; a short answer is followed by a request for its rest."""
    found = hashlib.sha256()
    block = session.sftp.limits.read
    asked: deque[Reply] = deque()
    sent = done = 0
    while True:
        while len(asked) < _IN_FLIGHT:
            asked.append(session.sftp.read(handle, sent, block))
            sent += block
        reply = await asked.popleft()
        job.check()
        if code_of(reply) == Status.EOF:
            return found.hexdigest()
        data = wire.data(checked(reply, what).body)
        found.update(data)
        done += len(data)
        if len(data) < block:  # the end, or a server that sends less than it is asked for
            asked.clear()
            sent = done
