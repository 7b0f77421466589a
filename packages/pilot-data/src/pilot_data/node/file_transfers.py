"""Copies that a compute unit asks for by ``file_transfer``: files of any storage, before it runs and after."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pilot_data.job import Job
from pilot_data.moving import first_error
from pilot_data.transfer_legs import Request
from pilot_data.transfers import Transfer
from pilot_protocol.errors import DescriptionError
from pilot_session.coordination_url import redact

_FORM = re.compile(
    r"\s*(?P<left>[^<>]*[^<>\s])\s*(?P<way>[<>])\s*(?P<right>[^<>\s](?:[^<>]*[^<>\s])?)\s*", re.DOTALL
)
UNIT_FOLDER = "SUBJOB_WORK_DIR"
"""BigJob's name of the folder of a compute unit."""
PILOT_FOLDER = "BIGJOB_WORK_DIR"
"""BigJob's name of the sandbox of a pilot."""


@dataclass(frozen=True)
class FileTransfer:
    """One copy.

    Attributes:
        source: As it was written.
        target: As it was written.
    """

    source: str
    target: str


def read(text: str) -> FileTransfer:
    """Read ``source > target`` or ``target < source``. Pure.

    Raises:
        DescriptionError: It is neither.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        shown = redact(text)
        raise DescriptionError(
            f"file_transfer {shown!r} cannot be read; 'source > target' and 'target < source' are allowed",
            key="file_transfer",
            value=shown,
        )
    left, right = found["left"], found["right"]
    return FileTransfer(left, right) if found["way"] == ">" else FileTransfer(right, left)


def incoming(text: str, folder: str, sandbox: str, job: Job) -> None:
    """Copy files to a compute unit's folder.

    Args:
        text: As `read` reads it. A relative source is in the sandbox, a relative target in the folder.
        folder: Of the compute unit, absolute.
        sandbox: Of the pilot, absolute.
        job: What to keep to.

    Raises:
        DescriptionError: It cannot be read, or names do not fit together.
        TransferError: A file is not there or could not be copied.
    """
    _copy(read(text), sandbox, folder, (folder, sandbox), job)


def outgoing(text: str, folder: str, sandbox: str, job: Job) -> None:
    """Copy files from a compute unit's folder, see `incoming`; relative sources are there, relative targets in the sandbox."""
    _copy(read(text), folder, sandbox, (folder, sandbox), job)


def _copy(one: FileTransfer, source_base: str, target_base: str, places: tuple[str, str], job: Job) -> None:
    source, target = _placed(one.source, source_base, *places), _placed(one.target, target_base, *places)
    with Transfer(Request(sources=(source,), target=target), job) as transfer:
        report = transfer.run(transfer.plan())
    error = report.stopped or first_error(report.failures)
    if error is not None:
        raise type(error)(f"file_transfer {one.source!r} > {one.target!r}: {error}")


def _placed(text: str, base: str, folder: str, sandbox: str) -> str:
    """Return a path or URL of the user as one that does not depend on where this process runs."""
    if "://" in text:
        return text
    first, _, rest = text.partition("/")
    named = {UNIT_FOLDER: folder, PILOT_FOLDER: sandbox}.get(first)
    if named is not None:
        return f"{named}/{rest}"  # with a slash at its end it is a folder to land in
    if text in {".", "./"}:
        return f"{base}/"
    return text if text.startswith(("/", "~")) else f"{base}/{text}"
