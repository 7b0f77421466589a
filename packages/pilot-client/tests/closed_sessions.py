"""Ends what a test has opened in this process: the sessions of its services."""

from __future__ import annotations

from pilot import open_sessions


def close_sessions() -> None:
    """Close every session that this process has open, with the embedded servers, and forget them."""
    for session in list(open_sessions._open.values()):
        session.close()
    open_sessions._open.clear()
    open_sessions._defaults.clear()
