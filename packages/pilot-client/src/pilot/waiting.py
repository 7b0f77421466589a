"""Waiting for compute units, in memory: the watcher brings the news.

A unit that no living pilot can run never ends by itself. Programs count on a wait to return then: it does, with a
warning that says what is left and what to do.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Collection

from pilot_protocol import reads
from pilot_protocol.errors import CoordinationError
from pilot_protocol.states import State
from pilot_protocol.user_warnings import warn_user

from .following import follow_units
from .placeholders import watch_pending
from .prospects import STUCK, Awaited, Prospects
from .session import Session

logger = logging.getLogger(__name__)

_MOST_SHOWN = 3


def wait_for_units(session: Session, awaited: Awaited, timeout_s: float | None) -> bool:
    """Wait until units have ended, or no pilot is left that could run them; returns whether they have ended.

    Args:
        session: The units'.
        awaited: The units.
        timeout_s: Seconds; None for no end.

    Raises:
        CoordinationError: Redis refuses this session for good, or cannot be asked for further pilots and there is no
            timeout.
    """
    deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
    prospects = Prospects(session, awaited)
    for owner in awaited.owners:
        watch_pending(session, session.tracker.pilots_for(owner))
    while True:
        rest_s = None if timeout_s is None else max(0.0, deadline - time.monotonic())
        if not session.wait_for(lambda: not awaited.count_open() or prospects.are_in_doubt(), rest_s):
            return False
        if not awaited.count_open():
            return True
        try:
            with session.within(rest_s):
                is_over = _are_stranded(session, awaited, prospects)
        except CoordinationError as error:
            if timeout_s is None or not error.transient:
                raise
            logger.info("units.not_read %s", error, extra={"action": "units.not_read"})
            return session.wait_for(lambda: not awaited.count_open(), max(0.0, deadline - time.monotonic()))
        if is_over:
            return False


def follow_before_waiting(session: Session, owner: str, timeout_s: float | None) -> bool:
    """Learn of the units that others submitted to an owner; returns whether the server could be asked.

    While it cannot, there is no reason not to wait for the units that are known: the news come when it is back.

    Raises:
        CoordinationError: Redis refuses this session for good.
    """
    try:
        with session.within(timeout_s):
            follow_units(session, owner)
    except CoordinationError as error:
        if not error.transient:
            raise
        logger.info("units.not_followed %s", error, extra={"action": "units.not_followed"})
        return False
    return True


def _are_stranded(session: Session, awaited: Awaited, prospects: Prospects) -> bool:
    """Look whether no unit gets on, and say so."""
    if prospects.look() or not awaited.count_open():
        return False
    _warn(awaited.count_open(), prospects.obstacle, _failures(session, awaited.owners))
    return True


def _failures(session: Session, owners: Collection[str]) -> list[str]:
    """Return why pilots failed that would have run the units."""
    failed = {
        pilot.id
        for owner in owners
        for pilot in session.tracker.pilots_for(owner)
        if pilot.state is State.Failed
    }
    records = {name: session.query(reads.pilot(session.keys, name)) for name in sorted(failed)[:_MOST_SHOWN]}
    return [f"pilot {name} failed: {record.get('message', b'').decode()}" for name, record in records.items()]


def _warn(left: int, obstacle: str, failures: list[str]) -> None:
    units = "1 compute unit waits" if left == 1 else f"{left} compute units wait"
    warn_user("\n".join([f"{units}, and {_advice(obstacle)}, and wait again", *failures]), RuntimeWarning)


def _advice(obstacle: str) -> str:
    """Return what is wrong, and what to do."""
    if obstacle.startswith("data unit"):
        return f"not all that they need can come: {obstacle}; submit one that adds to it, or cancel those that wait for it"
    if obstacle.startswith(STUCK):
        return f"{obstacle}; cancel one of them if they wait for one another"
    if obstacle.startswith("needs"):
        found, wanted = f"no pilot could run them: one {obstacle}", "a larger pilot"
    else:
        found, wanted = "no pilot is left to run them", "a pilot"
    return f"{found}; create {wanted}, add its PilotComputeService to the ComputeDataService"
