"""Ends what a test has opened in this process: the sessions of its services."""

from __future__ import annotations

from pilot import open_sessions
from pilot_data import data_session
from pilot_session.shared_sessions import shared


def close_sessions() -> None:
    """Close every session that this process has open, with the embedded servers, and forget them, and what Pilot-Data has of them."""
    for session in list(open_sessions._open.values()):
        session.close()
    open_sessions._open.clear()
    for used in list(data_session._by_session):
        data_session._leave(used)
    shared._defaults.clear()
