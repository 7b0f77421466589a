"""What the end of an agent means for its pilot, when the agent could not tell itself.

The invariant: a pilot is declared ended without its agent only when no process of it lives; its units then go elsewhere,
and none of them runs twice at a time.
"""

from __future__ import annotations

import logging

from pilot_protocol.errors import CoordinationError
from pilot_protocol.pilot_ops import PilotEnd
from pilot_protocol.states import State

from .session import Session
from .submission import AgentEnd
from .tracker import TrackedPilot

logger = logging.getLogger(__name__)


def agent_ended(session: Session, end: AgentEnd) -> None:
    """Take the news that all processes of an agent are gone: end its pilot, unless the agent has done so itself."""
    tracked = session.tracker.pilots[end.pilot]
    if not tracked.is_live:
        return
    try:
        session.store.end_pilot(end.pilot, _how(session, tracked, end))
    except CoordinationError as error:
        if session.is_open:
            logger.warning("pilot %s is gone: %s", end.pilot, error, extra={"action": "pilot.lost"})


def _how(session: Session, tracked: TrackedPilot, end: AgentEnd) -> PilotEnd:
    if end.pilot in session.canceled:
        return PilotEnd("Canceled", "canceled")
    reason, when = (
        ("lost", "while it ran") if tracked.state is State.Running else ("start", "before it had started")
    )
    code = "" if end.exit_code is None else f", exit code {end.exit_code}"
    words = f" ({end.words})" if end.words else ""
    said = f"; it said last:\n{end.log.rstrip()}" if end.log.strip() else ""
    return PilotEnd("Failed", reason, f"the agent ended {when}{code}{words}{said}")
