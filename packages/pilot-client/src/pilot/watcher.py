"""The one reader of a session's events: a daemon thread with a connection of its own.

It blocks on the event stream, so an idle session costs three commands per third of a lease: that read, the sweep that
ends pilots of which nobody hears any more, and a look whether the session is still the one that was opened. When it cannot know what it missed, because the connection broke, the server
came back or the stream was cut behind it, it reads the records of the units that have not ended.

The invariant: what was read is in the tracker before reading goes on, and who waits is woken or told why nothing comes.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from pilot_protocol import reads
from pilot_protocol.errors import CoordinationError
from pilot_protocol.keys import Keys
from pilot_protocol.operation import BATCH
from pilot_protocol.reads import SessionEvent
from pilot_protocol.states import State, UnitLetter
from pilot_session.coordination_url import CoordinationUrl
from pilot_session.redis_link import FIRST_PAUSE_S, LONGEST_PAUSE_S, REPLY_S, RedisLink

from .store import Store
from .tracker import TrackedPilot, Tracker, UnitGroup

logger = logging.getLogger(__name__)

SWEEPS_PER_LEASE = 3
LOST_AFTER_S = 60.0
"""How long an agent keeps what it has to say of a unit that the server does not know, too."""


class Watcher:
    """Keeps a tracker up to date.

    Args:
        url: Of the server, with the password.
        keys: The session's.
        store: Sweeps, and restores what a server forgot.
        tracker: To be kept up to date.
        lease_s: Of the session, seconds.
        check_server: Called when the server does not answer; raises CoordinationError when it never will again.
    """

    def __init__(
        self,
        url: CoordinationUrl,
        keys: Keys,
        store: Store,
        tracker: Tracker,
        lease_s: float,
        check_server: Callable[[], None],
    ) -> None:
        self._sweep_every_s = lease_s / SWEEPS_PER_LEASE
        # No patience: after a broken connection the records are to be read first.
        self._link = RedisLink(
            url, reply_s=self._sweep_every_s + REPLY_S, patience_s=0, restore=store.restore
        )
        self._keys = keys
        self._store = store
        self._tracker = tracker
        self._check_server = check_server
        self._cursor = "0-0"
        self._next_sweep = 0.0
        self._lost_at: float | None = None
        """When units whose records are missing count as lost."""
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._thread = threading.Thread(
            target=self._run, name=f"pilot-watcher {self._keys.session}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and return when the thread has ended or cannot be reached."""
        self._stopping.set()
        self._link.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(REPLY_S)

    def _run(self) -> None:
        try:
            self._watch()
        except CoordinationError as error:
            self._give_up(error)
        except Exception as error:  # a thread's end: without it everybody would wait for ever
            logger.exception("watcher.died", extra={"action": "watcher.died"})
            self._give_up(CoordinationError(f"the watcher of session {self._keys.session} died: {error!r}"))

    def _give_up(self, error: CoordinationError) -> None:
        if not self._stopping.is_set():
            self._tracker.fail(error)

    def _watch(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                self._catch_up()
                if pause > FIRST_PAUSE_S:
                    logger.warning(
                        "Redis at %s is back", self._link.place, extra={"action": "connection.back"}
                    )
                    pause = FIRST_PAUSE_S
                self._listen()
            except CoordinationError as error:
                if self._stopping.is_set() or not error.transient:
                    raise
                self._check_server()
                if pause == FIRST_PAUSE_S:
                    logger.warning(
                        "Redis at %s does not answer; what runs goes on",
                        self._link.place,
                        extra={"action": "connection.lost"},
                    )
            self._stopping.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _listen(self) -> None:
        """Take events as they come, until the connection breaks."""
        while not self._stopping.is_set():
            rest_s = min(self._next_sweep, self._lost_at or math.inf) - time.monotonic()
            if rest_s <= 0:
                self._sweep()
                continue
            self._take(self._link.query(reads.events(self._keys, self._cursor, max(1, int(rest_s * 1000)))))

    def _sweep(self) -> None:
        self._next_sweep = time.monotonic() + self._sweep_every_s
        if self._store.sweep(self._link) or (self._lost_at or math.inf) <= time.monotonic():
            self._read_records()

    def _take(self, events: list[SessionEvent]) -> None:
        if not events:
            return
        before, self._cursor = self._cursor, events[-1].cursor
        self._meet(self._tracker.apply(events))
        if any(event.has_more for event in events):
            self._sweep()
        # The stream keeps many more events than one read brings: a reader that gets fewer has missed none.
        if len(events) == reads.EVENTS_PER_READ and _is_cut(
            before, self._link.query(reads.first_event(self._keys))
        ):
            logger.info("events.missed", extra={"action": "events.missed"})
            self._read_records()

    def _catch_up(self) -> None:
        """Read what the events that were missed would have told, and listen from now on."""
        self._cursor = self._link.query(reads.last_event(self._keys))
        self._next_sweep = time.monotonic() + self._sweep_every_s
        self._lost_at = None  # who brings units back may come after us, once more
        self._store.sweep(self._link)  # brings back what an emptied server forgot, before it is missed
        self._read_records()

    def _read_records(self) -> None:
        """Read the records of all that has not ended; pilots first, since a unit ends before its pilot does.

        What we were told is there, and is not, was lost with the server's data. Its client may bring it back; if nobody
        does for a while, it will never end by itself.
        """
        are_lost = self._lost_at is not None and self._lost_at <= time.monotonic()
        self._lost_at = None
        for pilot in list(self._tracker.pilots.values()):
            if pilot.is_live:
                self._read_pilot(pilot)
        for group in list(self._tracker.groups.values()):
            for numbers in _batches(group.unsettled()):
                missing = self._read_units(group, numbers)
                if are_lost:
                    self._tracker.settle(group, ((number, UnitLetter.FAILED) for number in missing))
                elif missing:
                    self._lost_at = time.monotonic() + LOST_AFTER_S

    def _read_units(self, group: UnitGroup, numbers: list[int]) -> list[int]:
        """Take what the records of units say; returns the units that have none."""
        records = self._link.query(reads.units(self._keys, [group.unit_id(number) for number in numbers]))
        found = list(zip(numbers, records, strict=True))
        self._tracker.settle(group, ((number, record.letter) for number, record in found if record))
        return [number for number, record in found if record is None]

    def _read_pilot(self, pilot: TrackedPilot) -> None:
        state = self._link.query(reads.pilot(self._keys, pilot.id)).get("state")
        if state:
            self._tracker.set_pilot(TrackedPilot(pilot.id, pilot.service, state=State(state.decode())))

    def _meet(self, strangers: Iterable[str]) -> None:
        """Learn which services the pilots belong to that other clients have made."""
        names = list(strangers)
        if not names:
            return
        services = self._link.query(reads.pilots(self._keys))
        for name in names:
            self._read_pilot(self._tracker.set_pilot(TrackedPilot(name, services.get(name, ""))))


def _batches(numbers: Iterator[int]) -> Iterator[list[int]]:
    while batch := list(islice(numbers, BATCH)):
        yield batch


def _is_cut(cursor: str, first: str) -> bool:
    """Tell whether events after a cursor may have been dropped from the stream that begins with ``first``."""
    return _position(first) > _position(cursor)


def _position(cursor: str) -> tuple[int, ...]:
    return tuple(map(int, cursor.split("-")))
