"""Files that a pilot is to find in its folder: copied there when it is submitted, from this machine or anywhere else."""

from __future__ import annotations

from collections.abc import Sequence

from pilot_protocol.errors import DescriptionError

from .job import Job
from .moving import first_error
from .transfer_legs import Request
from .transfers import Transfer

PILOT_FOLDER = "BIGJOB_WORK_DIR"
"""BigJob's name of the folder of a pilot."""


def copy_to_sandbox(transfers: Sequence[str], sandbox: str) -> None:
    """Copy files, and return when they are there and verified.

    Args:
        transfers: ``source > target`` each. A source is a path on this machine or a URL, a target a path below the sandbox;
            ``BIGJOB_WORK_DIR`` at its beginning is the sandbox.
        sandbox: URL or path of the pilot's folder.

    Raises:
        DescriptionError: A target is not below the sandbox, or names do not fit together.
        TransferError: A file is not there, or could not be copied.
    """
    for text in transfers:
        source, _, target = (part.strip() for part in text.partition(">"))
        request = Request(sources=(source,), target=f"{sandbox}/{_below(text, target)}")
        with Transfer(request, Job()) as transfer:
            report = transfer.run(transfer.plan())
        error = report.stopped or first_error(report.failures)
        if error is not None:
            raise error


def _below(text: str, target: str) -> str:
    """Return a target as a path below the sandbox; empty for the sandbox itself."""
    first, _, rest = target.partition("/")
    path = rest if first == PILOT_FOLDER else target
    parts = path.removeprefix("./").split("/")
    if not target or path.startswith(("/", "~")) or "://" in path or ".." in parts:
        raise DescriptionError(
            f"file_transfer {text!r} does not lead into the pilot's folder; give 'source > BIGJOB_WORK_DIR' or a path "
            "below it",
            key="file_transfer",
            value=text,
        )
    return "" if path in {".", ""} else path
