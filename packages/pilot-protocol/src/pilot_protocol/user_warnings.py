"""Warnings for the user; they point at the user's line, not into these packages."""

from __future__ import annotations

import sys
import warnings

OUR_PACKAGES = frozenset({"pilot", "pilot_agent", "pilot_data", "pilot_protocol", "pilot_session"})


def warn_user(message: str, category: type[Warning]) -> None:
    """Emit a warning for the nearest caller outside our packages."""
    level = 1
    frame = sys._getframe(1)  # noqa: SLF001 - warnings.warn(skip_file_prefixes=...) exists since Python 3.12 only
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__")):
        frame = frame.f_back
        level += 1
    warnings.warn(message, category, stacklevel=level + 1)


def warn_deprecated(message: str) -> None:
    """Emit a DeprecationWarning: an old way of saying something was understood."""
    warn_user(message, DeprecationWarning)


def _is_ours(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in OUR_PACKAGES
