"""Waiting for compute units, in memory: the watcher brings the news.

A unit that no living pilot can take never ends by itself. Programs count on a wait to return then: it does, with a
warning that says what is left and what to do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection

from pilot_protocol import reads
from pilot_protocol.states import State
from pilot_protocol.user_warnings import warn_user

from .following import follow_pilots, look_again
from .placeholders import watch_pending
from .session import Session

_MOST_SHOWN = 3


def wait_for_units(
    session: Session, owners: Collection[str], count_open: Callable[[], int], timeout_s: float | None
) -> bool:
    """Wait until units have ended, or no pilot is left that could run them; returns whether they have ended.

    Args:
        session: The units'.
        owners: The pilots and compute-data services in whose queues they wait.
        count_open: Returns how many have not ended.
        timeout_s: Seconds; None for no end.

    Raises:
        CoordinationError: Redis refuses this session for good, or cannot be asked for further pilots.
    """
    deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s

    def are_stranded() -> bool:
        return not any(session.tracker.has_live_pilot(owner) for owner in owners)

    for owner in owners:
        watch_pending(session, session.tracker.pilots_for(owner))
    while True:
        rest_s = None if timeout_s is None else max(0.0, deadline - time.monotonic())
        if not session.wait_for(lambda: not count_open() or are_stranded(), rest_s):
            return False
        if not count_open():
            return True
        follow_pilots(session)  # another process may have made one that has not been heard of
        look_again(session, owners)  # the last news may be on their way
        if count_open() and are_stranded():
            _warn(count_open(), _failures(session, owners))
            return False


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


def _warn(left: int, failures: list[str]) -> None:
    units = "1 compute unit" if left == 1 else f"{left} compute units"
    advice = "create a pilot, add its PilotComputeService to the ComputeDataService, and wait again"
    warn_user(
        "\n".join([f"{units} wait, and no pilot is left to run them; {advice}", *failures]), RuntimeWarning
    )
