"""What ``PILOT_LOG`` asks for: how much of what the client logs is to be seen."""

from __future__ import annotations

import logging

_LOGGERS = ("pilot", "pilot_session")
_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def show(level: str | None) -> None:
    """Let what the client logs be seen from this level on; on standard error, unless the program has a place for it.

    Args:
        level: None to leave them as the program has set them.
    """
    if level is None:
        return
    for logger in map(logging.getLogger, _LOGGERS):
        logger.setLevel(level)
        if not logger.hasHandlers():
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter(_FORMAT))
            logger.addHandler(handler)
