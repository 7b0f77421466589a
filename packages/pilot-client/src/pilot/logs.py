"""What ``PILOT_LOG`` asks for: how much of what the client logs is to be seen."""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def show(level: str | None) -> None:
    """Let the loggers of this package say what has this level; on standard error, unless the program has a place for it.

    Args:
        level: None to leave them as the program has set them.
    """
    if level is None:
        return
    logger = logging.getLogger(__package__)
    logger.setLevel(level)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(_FORMAT))
        logger.addHandler(handler)
