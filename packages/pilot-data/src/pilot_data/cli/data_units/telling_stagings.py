"""Tells of the replicas that are made here: lines for people, objects for programs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import click

from pilot_data.cli.canceling import Interruption
from pilot_data.cli.output import human, show_event, tell
from pilot_data.replicas import state_of
from pilot_data.staging_listener import StagingListener
from pilot_data.ways import Way
from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord


class StagingTelling(StagingListener):
    """Tells as it happens.

    Args:
        interruption: Told when nobody reads the output any more.
        as_json: Whether it is told as JSON.
        quiet: Whether people are told of errors only.
    """

    def __init__(self, interruption: Interruption, *, as_json: bool, quiet: bool) -> None:
        self._interruption = interruption
        self._as_json = as_json
        self._quiet = quiet
        self._lock = threading.Lock()

    def serving(self, session: str, count: int) -> None:
        """The Pilot-Data of a session are served, so many at the moment."""
        self._say(
            f"serving session {session}, {count} Pilot-Data", "serving", session=session, pilot_data=count
        )

    def begun(self, data_unit: str, way: Way) -> None:
        """See `StagingListener.begun`."""
        origin = way.origin.id if way.origin is not None else ""
        text = f"{data_unit} moves to {way.store.id}, from {origin or 'where it was named'}"
        self._say(text, "begun", id=data_unit, pilot_data=way.store.id, origin=origin)

    def ended(self, replica: ReplicaRecord) -> None:
        """See `StagingListener.ended`."""
        why = f": {replica.reason}" if replica.reason else ""
        how = {
            ReplicaLetter.DONE: f"is at {replica.pilot_data} ({human(replica.bytes)}){why}",
            ReplicaLetter.PENDING: f"at {replica.pilot_data} was handed back{why}",
        }
        text = how.get(replica.letter, f"at {replica.pilot_data} {state_of(replica)}{why}")
        facts = {"id": replica.data_unit, "pilot_data": replica.pilot_data, "state": state_of(replica)}
        is_bad = replica.letter in {ReplicaLetter.FAILED, ReplicaLetter.CANCELED}
        self._say(
            f"{replica.data_unit} {text}",
            "replica",
            is_bad=is_bad,
            **facts,
            bytes=replica.bytes,
            reason=replica.reason,
        )

    def left(self, data_unit: str, pilot_data: str, reason: str) -> None:
        """See `StagingListener.left`."""
        text = f"{data_unit} at {pilot_data} is left to others: {reason}"
        self._say(text, "left", id=data_unit, pilot_data=pilot_data, reason=reason)

    def troubled(self, error: str) -> None:
        """See `StagingListener.troubled`."""
        self._say(error, "troubled", is_bad=True, error=error)

    def _say(self, text: str, event: str, *, is_bad: bool = False, **facts: Any) -> None:
        if self._as_json:
            self._written(lambda: show_event(event, **facts))
        if is_bad:
            tell(text)
        elif not (self._as_json or self._quiet):
            self._written(lambda: click.echo(text))

    def _written(self, write: Callable[[], None]) -> None:
        try:
            with self._lock:
                write()
        except BrokenPipeError:
            self._interruption.closed_pipe()
