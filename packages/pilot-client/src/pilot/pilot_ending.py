"""Ending pilots: asked of their agents first, then by killing what this process has started.

The invariant: a pilot is declared ended without its agent only when no process of it lives, or none ever registered; its
units then go elsewhere, and none of them runs twice at a time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from pilot_protocol.errors import CoordinationError
from pilot_protocol.pilot_ops import PilotEnd
from pilot_protocol.states import State

from .job_ending import kill_job
from .placeholders import placeholder_of
from .session import Session
from .tracker import TrackedPilot

logger = logging.getLogger(__name__)

STOP_LIMIT_S = 15.0
"""Units have 10 s between SIGTERM and SIGKILL, the agent some more to report."""

KILL_LIMIT_S = 10.0
GONE_LIMIT_S = 5.0
"""How long the processes of an agent may live on after their pilot has ended."""


def cancel_pilots(session: Session, pilots: Sequence[TrackedPilot]) -> None:
    """End pilots, and return when they have ended or can only be left to their lease.

    Raises:
        CoordinationError: The server cannot be reached; what this process has started was killed.
    """
    session.listen()
    live = [pilot for pilot in pilots if pilot.is_live]
    session.canceled.update(pilot.id for pilot in live)
    try:
        for pilot in live:
            _ask(session, pilot)
        if not _have_ended(session, live, STOP_LIMIT_S):
            _force(session, live)
    except CoordinationError:  # killing what this process has started takes no server
        kill_placeholders(session, [pilot.id for pilot in live])
        raise
    for pilot in pilots:
        _see_off(session, pilot)


def kill_placeholders(session: Session, pilots: Iterable[str]) -> None:
    """Kill pilots without the server; returns when nothing is left of those that this process has submitted."""
    found = {pilot: session.placeholders[pilot] for pilot in pilots if pilot in session.placeholders}
    for pilot, placeholder in found.items():
        kill_job(pilot, placeholder)
    give_up = time.monotonic() + KILL_LIMIT_S
    for placeholder in found.values():
        placeholder.wait(max(0.0, give_up - time.monotonic()))


def _ask(session: Session, pilot: TrackedPilot) -> None:
    placeholder = placeholder_of(session, pilot)
    if pilot.state is State.Running:
        session.store.stop_pilot(pilot.id)
    elif placeholder is not None:
        kill_job(pilot.id, placeholder)
    else:  # nobody finds its job: an agent that comes later is turned away
        session.store.end_pilot(pilot.id, PilotEnd("Canceled", "canceled"))


def _force(session: Session, pilots: Sequence[TrackedPilot]) -> None:
    for pilot in pilots:
        _kill(session, pilot)
    if not _have_ended(session, pilots, KILL_LIMIT_S):
        left = ", ".join(pilot.id for pilot in pilots if pilot.is_live)
        logger.warning(
            "pilots %s do not answer; they end with their lease", left, extra={"action": "pilot.lingers"}
        )


def _see_off(session: Session, pilot: TrackedPilot) -> None:
    """Return when nothing is left of a pilot whose job is known here."""
    placeholder = session.placeholders.get(pilot.id)
    if placeholder is not None and not pilot.is_live and not placeholder.wait(GONE_LIMIT_S):
        kill_job(pilot.id, placeholder)
        placeholder.wait(GONE_LIMIT_S)


def _kill(session: Session, pilot: TrackedPilot) -> None:
    placeholder = session.placeholders.get(pilot.id)
    if pilot.is_live and placeholder is not None:
        logger.warning("pilot %s does not answer and is killed", pilot.id, extra={"action": "pilot.killed"})
        kill_job(pilot.id, placeholder)


def _have_ended(session: Session, pilots: Sequence[TrackedPilot], limit_s: float) -> bool:
    return session.wait_for(lambda: not any(pilot.is_live for pilot in pilots), limit_s)
