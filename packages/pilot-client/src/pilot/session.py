"""Sessions: one namespace in Redis, the key that signs what is said in it, and this process's picture of it.

All services of one process that name the same server share a session. A session outlives the process: whoever has its
file, on this machine below ``~/.local/state/pilot``, comes back to it.

The invariant: a process has one session object per session, so that a state is the same whichever handle is asked.
"""

from __future__ import annotations

import atexit
import logging
import os
import secrets
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar, final

from pilot_protocol.errors import CoordinationError, DescriptionError
from pilot_protocol.keys import Keys
from pilot_protocol.operation import Query
from pilot_protocol.signing import KEY_BYTES, Seal
from pilot_protocol.version import check_peer
from pilot_session import coordination_url
from pilot_session.identifiers import new_id
from pilot_session.server_facts import SNAPSHOTS
from pilot_session.session_file import EmbeddedServer, SessionFile
from pilot_session.shared_sessions import shared

from . import logs
from .config import ClientConfig
from .data_cycles import DataFlow
from .embedded_redis import EmbeddedRedis
from .hurry import Hurry
from .job_ending import kill_job
from .store import Store
from .submission import Placeholder, Ways
from .tracker import Tracker
from .watcher import Watcher

logger = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_LEASE_S = 30.0
SHORTEST_LEASE_S = 5.0


@final
class Session:
    """A session that this process has open; made by `create` and `open_sessions.join`.

    Args:
        file: What a client must know of it.
        server: The embedded server that ends with the session, if it has one.
        lease_s: Used when the session is new to Redis.

    Attributes:
        id: The session's id.
        url: The server's, with the password.
        lease_s: How long a pilot counts as alive without a heartbeat, seconds.
        keys: Its keys in Redis.
        seal: Signs and checks its records.
        tracker: What is known of its units and pilots.
        flow: Which of its units wait for data.
        store: Writes.
        placeholders: Of the pilots that this process submitted, or has found again.
        ways: The ways of submission that are open.
        canceled: The pilots that this process was asked to cancel.
        is_open: False when the session was closed.
    """

    def __init__(
        self, file: SessionFile, server: EmbeddedRedis | None = None, lease_s: float = DEFAULT_LEASE_S
    ) -> None:
        logs.show(ClientConfig.from_environment().log_level)
        self.id = file.session
        self.url = coordination_url.parse(file.coordination_url)
        self.keys = Keys(file.session)
        self.key_hex = file.key_hex
        self.seal = Seal(file.session, bytes.fromhex(file.key_hex))
        self.tracker = Tracker()
        self.flow = DataFlow(self.tracker.is_waiting)
        self.placeholders: dict[str, Placeholder] = {}
        self.ways = Ways(self.url)
        self.canceled: set[str] = set()
        self._server = server
        self._hurry = Hurry(self.url)
        self._at_end: list[Callable[[], None]] = []
        self.is_open = True
        self.store = self._new_store(lease_s)
        self.lease_s = self._greet_or_close()
        self._watcher: Watcher | None = None
        self.listen()
        _of_this_process.add(self)
        atexit.register(self.close)  # before the embedded server's own: what was registered last runs first

    @classmethod
    def create(cls, url: str | None = None, *, lease_s: float = DEFAULT_LEASE_S) -> Session:
        """Make a session and write its file.

        Args:
            url: Of the Redis server; by default ``$PILOT_COORDINATION_URL``, else an embedded server is started, which
                ends with this process.
            lease_s: How long a pilot counts as alive without a heartbeat, at least 5 seconds.

        Raises:
            CoordinationError: The server cannot be reached or refuses, or none can be started.
            DescriptionError: The URL or the lease are not allowed.
        """
        if lease_s < SHORTEST_LEASE_S:
            raise DescriptionError(
                f"a lease of {lease_s:g} s; at least {SHORTEST_LEASE_S:g} s are needed",
                key="lease_s",
                value=lease_s,
            )
        config = ClientConfig.from_environment()
        given = url or config.coordination_url
        server = None if given else EmbeddedRedis.start(config=config)
        file = SessionFile(
            session=new_id("s"),
            coordination_url=server.url if server else coordination_url.parse(given or "").full(),
            key_hex=secrets.token_hex(KEY_BYTES),
            created=time.time(),
            embedded=None if server is None else EmbeddedServer(str(server.directory)),
        )
        try:
            session = cls(file, server, lease_s)
        except BaseException:
            if server is not None:
                server.stop()
            raise
        shared.keep(file)
        return session

    def __repr__(self) -> str:
        return f"<Session {self.id} at {self.url.public()}>"

    def url_of(self, kind: str, name: str) -> str:
        """Return the URL of an object, see `coordination_url.object_url`."""
        return coordination_url.object_url(self.url, self.id, kind, name)

    def query(self, query: Query[T]) -> T:
        """Read from Redis.

        Raises:
            CoordinationError: The server cannot be reached or refuses.
        """
        return (self._hurry.link or self.store.link).query(query)

    def within(self, limit_s: float | None) -> AbstractContextManager[None]:
        """Let no read of this thread wait longer than this for the server, whatever others wait for; None: as ever."""
        return self._hurry.within(limit_s)

    def wait_for(self, holds: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait for a change of what is known, see `Tracker.wait_for`."""
        self.listen()
        return self.tracker.wait_for(holds, timeout_s)

    def listen(self) -> None:
        """Listen to the session's events, unless it is done already."""
        if self._watcher is None:
            self._watcher = Watcher(
                self.url, self.keys, self.store, self.tracker, self.lease_s, self._leave_if_server_is_gone
            )
            self._watcher.start()

    def stop_in_the_end(self, stop: Callable[[], None]) -> None:
        """Have something stopped before an embedded server ends with this process."""
        self._at_end.append(stop)

    def close(self) -> None:
        """Leave the session. With an embedded server, what this process started in it is stopped, then the server."""
        if not self.is_open:
            return
        self.is_open = False
        atexit.unregister(self.close)
        shared.forget(self.id)
        if self._server is not None:
            self._stop_all()
            shared.prepare_end(self.id)
        if self._watcher is not None:
            self._watcher.stop()
        self.ways.close()
        self.store.link.close()
        self.tracker.fail(CoordinationError(f"session {self.id} was closed"))
        if self._server is not None:
            self._server.stop()
            shared.delete(self.id)

    def _leave_if_server_is_gone(self) -> None:
        """An embedded server without a keeper never comes back, and what runs can tell nobody how it ends.

        Raises:
            CoordinationError: It is gone.
        """
        server = self._server
        if server is None or not self.is_open or server.running:
            return
        self.is_open = False
        atexit.unregister(self.close)
        self.store.link.close()
        for pilot, placeholder in self.placeholders.items():
            kill_job(pilot, placeholder)
        self.ways.close()
        server.abandon()
        shared.delete(self.id)
        raise CoordinationError(
            f"the embedded Redis server of session {self.id} was killed and does not come back; its pilots were "
            "killed, too; start again, or name a server that outlives its troubles as coordination_url",
            transient=False,
        )

    def _stop_all(self) -> None:
        for stop in self._at_end:
            try:
                stop()
            except CoordinationError as error:
                logger.warning("%s", error, extra={"action": "session.close_failed"})

    def _new_store(self, lease_s: float) -> Store:
        return Store(self.url, self.keys, self.seal, self.tracker, lease_s)

    def _greet_or_close(self) -> float:
        try:
            return self._greet()
        except BaseException:
            self.store.link.close()
            raise

    def _greet(self) -> float:
        """Make or join the session in Redis, and return its lease."""
        opened = self.store.open()
        check_peer(opened.protocol, who=f"session {self.id}")
        facts, place = self.store.link.facts, self.url.public()
        if facts.evicts:
            logger.warning("%s", facts.eviction_warning(place), extra={"action": "server.evicts"})
        if not facts.append_only:
            snapshots = self._has_snapshots()
            level = logging.INFO if snapshots else logging.WARNING
            note = facts.persistence_note(place, snapshots=snapshots)
            logger.log(level, "%s", note, extra={"action": "server.forgets"})
        return opened.lease_ms / 1000

    def _has_snapshots(self) -> bool:
        """Whether the server writes snapshots; taken for granted where we may not ask."""
        try:
            return self.query(SNAPSHOTS)
        except CoordinationError:
            return True

    @property
    def ends_with_us(self) -> bool:
        """Whether the server is an embedded one that ends with this process."""
        return self._server is not None

    def start_anew_in_child(self) -> None:
        """After a fork: connections, locks and the thread belong to the parent, and so does ending things."""
        self.tracker.renew_lock()
        self.flow.renew_lock()
        self.store = self._new_store(self.lease_s)
        self.placeholders = {}
        self.ways = Ways(self.url)
        self._server = None
        self._watcher = None


_of_this_process: weakref.WeakSet[Session] = weakref.WeakSet()


def _start_anew_in_child() -> None:
    """Let go of all that a forked child shares with its parent, before anything is said over it."""
    for session in _of_this_process:
        if session.is_open:
            session.start_anew_in_child()


os.register_at_fork(after_in_child=_start_anew_in_child)
