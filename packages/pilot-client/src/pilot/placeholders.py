"""Finding the placeholder jobs of pilots: those that this process submitted, and those of other processes by their handles."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from pilot_protocol import signing
from pilot_protocol.errors import PilotError
from pilot_protocol.specs import PilotSpec
from pilot_protocol.states import State

from .pilot_details import open_pilot_description, read_pilot_record
from .pilot_loss import agent_ended
from .session import Session
from .submission import PilotOrder, Placeholder
from .tracker import TrackedPilot

logger = logging.getLogger(__name__)


def placeholder_of(session: Session, pilot: TrackedPilot) -> Placeholder | None:
    """Return the placeholder of a pilot that has not ended; from now on its end is watched for.

    None when nothing finds it: it was started by another process of its machine, or its resource cannot be reached now.

    Raises:
        CoordinationError: The server cannot be reached.
    """
    known = session.placeholders.get(pilot.id)
    if known is not None or not pilot.is_live:
        return known
    record = read_pilot_record(session, pilot.id)
    sealed = record.get("placeholder")
    if sealed is None:
        return None
    handle = session.seal.open(signing.PLACEHOLDER, pilot.id, sealed).decode()
    spec = PilotSpec.from_payload(open_pilot_description(session, pilot.id, record))
    try:
        found = session.ways.submitter_for(spec).attach(
            PilotOrder(pilot.id, spec, {}), handle, lambda end: agent_ended(session, end)
        )
    except PilotError as error:
        logger.warning(
            "the job of pilot %s is not watched: %s", pilot.id, error, extra={"action": "pilot.not_watched"}
        )
        return None
    return session.placeholders.setdefault(pilot.id, found)


def watch_pending(session: Session, pilots: Iterable[TrackedPilot]) -> None:
    """Watch the jobs of pilots that have no agent yet, also those of another process: nothing else tells of their end.

    Raises:
        CoordinationError: The server cannot be reached.
    """
    for pilot in pilots:
        if pilot.state is not State.Running:
            placeholder_of(session, pilot)
