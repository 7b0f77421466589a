"""The only writer of the client: every change in Redis is asked for here, sealed where an agent will obey it.

What was said lately is said again when the server may have forgotten it: when it comes back with another run id, and
when it answers that it does not know the session. Pilots and attachments are few and are remembered for as long as
they matter. All is remembered before it is said, and nothing is said while another thread says it again: what a restored
server is told follows what it rests on, and is not lost on a server that does not know its pilot or unit yet.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pilot_protocol import codec, pilot_ops, reads, signing, unit_ops
from pilot_protocol.errors import CoordinationError
from pilot_protocol.keys import Keys
from pilot_protocol.messages import ControlOrder
from pilot_protocol.operation import BATCH, NoSessionError, Operation, PilotEndedError
from pilot_protocol.pilot_ops import OpenedSession, PilotEnd
from pilot_protocol.signing import Seal
from pilot_protocol.unit_ops import NewUnit, Submitted
from pilot_protocol.version import PROTOCOL
from pilot_session.coordination_url import CoordinationUrl
from pilot_session.redis_link import RedisLink, Say

from .outbox import KEEP_S, Outbox
from .tracker import Tracker

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Store:
    """Writes for one session.

    Args:
        url: Of the server, with the password.
        keys: The session's.
        seal: The session's.
        tracker: Told of the pilots and attachments that are made here.
        lease_s: How long a pilot counts as alive without a heartbeat, seconds.
    """

    def __init__(
        self, url: CoordinationUrl, keys: Keys, seal: Seal, tracker: Tracker, lease_s: float
    ) -> None:
        self.link = RedisLink(url, restore=self.restore)
        """For reads, too."""
        self._keys = keys
        self._seal = seal
        self._tracker = tracker
        self._opening = pilot_ops.open_session(keys, PROTOCOL, int(lease_s * 1000))
        self._reopening = self._opening_anew(int(lease_s * 1000))
        self._created_ms: int | None = None
        """When the session was made that the server has; another one was made by somebody after ours was lost."""
        self._pilots: dict[str, list[Operation[int]]] = {}
        self._attachments: dict[tuple[str, str], Operation[tuple[str, ...]]] = {}
        self._outbox = Outbox(max(KEEP_S, lease_s))
        self._restoring = threading.RLock()
        """Taken after the lock of a link, never before it: links restore, too."""
        self._untold_ends: dict[str, Operation[int]] = {}
        """Of pilots. One that never registered has no lease to end it, so nobody else would."""

    def open(self) -> OpenedSession:
        """Make the session or join it.

        Raises:
            CoordinationError: The server cannot be reached, is too old, or refuses.
        """
        opened = self.link.run(self._opening)
        self._outbox.keep_s = max(KEEP_S, opened.lease_ms / 1000)
        self._reopening = self._opening_anew(opened.lease_ms)
        self._created_ms = opened.created_ms
        return opened

    def _opening_anew(self, lease_ms: int) -> Operation[OpenedSession]:
        return pilot_ops.open_session(self._keys, PROTOCOL, lease_ms, rebuilt=True)

    def submit(
        self, group: str, owner: str, units: Sequence[NewUnit], templates: Mapping[str, bytes]
    ) -> Submitted:
        """Add units, at most :data:`~pilot_protocol.operation.BATCH`, to the queues of an owner.

        Raises:
            PilotEndedError: The owner is a pilot that has ended.
            CoordinationError: Whether Redis took them is unknown when it cannot be reached.
        """
        return self._say(unit_ops.submit(self._keys, group, owner, units, templates))

    def cancel(self, units: Iterable[str]) -> None:
        """Cancel units; for those that run it is a request to their agent."""
        names = list(units)
        for start in range(0, len(names), BATCH):
            orders = [(name, self._cancel_order(name)) for name in names[start : start + BATCH]]
            self._say(unit_ops.cancel(self._keys, orders))

    def _cancel_order(self, unit: str) -> bytes:
        return self._seal.close(signing.CANCEL, unit, ControlOrder("cancel", unit).to_bytes())

    def create_pilot(self, pilot: str, service: str, description: Mapping[str, Any]) -> None:
        """Announce a pilot."""
        sealed = self._seal.close(signing.PILOT, pilot, codec.encode(description))
        self._pilots[pilot] = []
        self._run_kept(pilot, pilot_ops.create_pilot(self._keys, pilot, service, sealed))

    def note_placeholder(self, pilot: str, handle: str) -> None:
        """Note what a client needs to find a pilot's placeholder job again."""
        sealed = self._seal.close(signing.PLACEHOLDER, pilot, handle.encode())
        self._run_kept(pilot, pilot_ops.note_placeholder(self._keys, pilot, sealed))

    def _run_kept(self, pilot: str, operation: Operation[int]) -> None:
        kept = self._pilots[pilot]
        kept.append(operation)
        try:
            self._run(operation)
        except BaseException:
            kept.remove(operation)
            raise

    def stop_pilot(self, pilot: str) -> None:
        """Ask a pilot's agent to end now; nothing happens when it has ended."""
        order = self._seal.close(signing.CONTROL, pilot, ControlOrder("stop").to_bytes())
        self._say(pilot_ops.control(self._keys, pilot, order))

    def end_pilot(self, pilot: str, how: PilotEnd) -> bool:
        """End a pilot of which no process lives; returns whether it had not ended before.

        Raises:
            CoordinationError: It could not be told; when that may pass, it is said again by a later sweep.
        """
        operation = pilot_ops.end(self._keys, pilot, "", how)
        try:
            return bool(self._say(operation))
        except CoordinationError as error:
            if error.transient:
                self._untold_ends.setdefault(pilot, operation)
            raise

    def attach(self, service: str, owner: str, *, attached: bool) -> None:
        """Let the pilots of a PilotComputeService run a compute-data service's units, or stop that."""
        operation = pilot_ops.attach(self._keys, service, owner, attached=attached)
        before = self._attachments.get((service, owner))
        self._attachments[service, owner] = operation
        try:
            self._run(operation)
        except BaseException:
            if before is None:
                del self._attachments[service, owner]
            else:
                self._attachments[service, owner] = before
            raise
        self._tracker.set_attached(service, owner, attached=attached)

    def sweep(self, link: RedisLink) -> bool:
        """End pilots whose lease has passed, over another link; returns whether the server had lost the session."""
        self._outbox.prune(time.monotonic())
        is_lost = self._is_lost(link)
        if is_lost:
            self.restore(link.run)
        for pilot, operation in list(self._untold_ends.items()):
            link.run(operation)
            del self._untold_ends[pilot]
        return is_lost

    def _is_lost(self, link: RedisLink) -> bool:
        """Sweep, and tell whether the server has lost the session, also if another client has made it anew."""
        try:
            link.run(pilot_ops.sweep(self._keys))
        except NoSessionError:
            return True
        found = link.query(reads.created(self._keys))
        self._created_ms = self._created_ms or found  # a forked child has not opened it
        return found != self._created_ms

    def restore(self, say: Say) -> None:
        """Say again what a server that came back may have forgotten.

        Raises:
            CoordinationError: It cannot be said.
        """
        with self._restoring:
            created_ms = say(self._reopening).created_ms
            said: list[Operation[Any]] = [
                *self._live_pilots(),
                *list(self._attachments.values()),
                *self._outbox.operations(),
            ]
            logger.info("session.restored operations=%d", len(said), extra={"action": "session.restored"})
            for operation in said:
                try:
                    say(operation)
                except PilotEndedError as error:  # its units were canceled with it
                    logger.info("session.restored %s", error, extra={"action": "session.restored"})
            self._created_ms = created_ms  # not before: what was interrupted is begun again

    def _live_pilots(self) -> list[Operation[int]]:
        ended = {pilot.id for pilot in list(self._tracker.pilots.values()) if not pilot.is_live}
        return [
            operation
            for pilot, operations in list(self._pilots.items())
            if pilot not in ended
            for operation in tuple(operations)
        ]

    def _say(self, operation: Operation[T]) -> T:
        said = self._outbox.put(operation)
        try:
            reply = self._run(operation)
        except BaseException:  # Ctrl-C as well: what the caller was not told of must not be said again
            self._outbox.take_back(said)
            raise
        self._outbox.confirm(said, time.monotonic())
        return reply

    def _run(self, operation: Operation[T]) -> T:
        self._wait_restored()
        try:
            reply = self.link.run(operation)
        except NoSessionError:
            self.link.restore()
            reply = self.link.run(operation)
        self._wait_restored()  # what is asked next shall be there
        return reply

    def _wait_restored(self) -> None:
        """Wait while another thread restores."""
        with self._restoring:
            pass
