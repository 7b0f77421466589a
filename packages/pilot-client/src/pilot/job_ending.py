"""Ending a pilot's placeholder job where nobody can do more about a failure than be told of it."""

from __future__ import annotations

import logging

from pilot_protocol.errors import SubmissionError

from .submission import Placeholder

logger = logging.getLogger(__name__)


def kill_job(pilot: str, placeholder: Placeholder) -> None:
    """End a placeholder job; the log names one that is left."""
    try:
        placeholder.kill()
    except SubmissionError as error:
        logger.warning(
            "job %s of pilot %s is not removed, do it by hand: %s",
            *(placeholder.job, pilot, error),
            extra={"action": "job.not_removed"},
        )
