"""Folders of hosts that are reached by SSH."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pilot_data.entries import Entry, Item, Outcome
from pilot_data.errors import ConnectionLostError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.moving import relay
from pilot_data.storage import Access, Capabilities, Storage

from . import pipeline
from . import sftp_wire as wire
from .clients import login_of
from .connection import Connection, Login
from .connections import CONNECTIONS
from .copying import Copying
from .getting import Getting
from .hashing import checksum
from .listing import Listing
from .onward import leads_to
from .pushing import Pushing
from .putting import Putting
from .removing import Removing
from .session import Session, encoded
from .sftp_wire import Kind


class SshStorage(Storage):
    """A folder of a host.

    The host is entered as OpenSSH would: by the user's configuration, keys, agent and known hosts.
    """

    capabilities = Capabilities(links=True, modes=True, mtimes=True, folders=True, bytes_names=True)

    def __init__(self, location: Location, access: Access) -> None:
        super().__init__(location, access)
        self._connection: Connection | None = None
        self._session: Session | None = None

    def list(self, paths: Sequence[str] = ("",)) -> Iterator[Entry]:
        """See `Storage.list`."""
        with self._used() as session:
            yield from Listing(session).entries(paths)

    def put_many(self, root: str, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.put_many`."""
        with self._used() as session:
            yield from Putting(session, root, job).run(items)

    def get_many(self, items: Sequence[Item], root: str, job: Job) -> Iterator[Outcome]:
        """See `Storage.get_many`."""
        with self._used() as session:
            yield from Getting(session, root, job).run(items)

    def checksums(self, paths: Sequence[str], job: Job) -> dict[str, str]:
        """See `Storage.checksums`."""
        with self._used() as session:

            async def one(path: str) -> tuple[str, str]:
                return path, await checksum(session, session.path(path), job)

            found = session.run((pipeline.Job(one(path)) for path in paths), hashing=True)
            return {path: digest for path, digest in found if digest}

    def remove_many(self, paths: Sequence[str]) -> None:
        """See `Storage.remove_many`."""
        with self._used() as session:
            Removing(session).many(paths)

    def remove_all(self) -> None:
        """See `Storage.remove_all`."""
        with self._used() as session:
            Removing(session).everything()

    def discard_many(self, items: Sequence[Item]) -> None:
        """See `Storage.discard_many`."""
        self.remove_many([item.partial for item in items])

    def free_bytes(self) -> int | None:
        """See `Storage.free_bytes`."""
        with self._used() as session:
            folder = session.root
            while session.sftp.tells_room:
                reply = session.sftp.answer(session.sftp.room(encoded(folder)))
                if reply.kind == Kind.EXTENDED_REPLY:
                    return wire.room(reply.body).free_bytes
                if folder == "/":
                    return None
                folder = os.path.dirname(folder)
            return None

    def copies_from(self, source: Storage) -> bool:
        """See `Storage.copies_from`.

        Within a host, for the same user, if its server can; from another host, if that one reaches this one by itself.
        """
        if not isinstance(source, SshStorage):
            return False
        with self._used() as session:
            if source._login() == self._login():  # noqa: SLF001 - of this class
                return session.sftp.copies_data
            with source._used() as at_source:  # noqa: SLF001 - of this class
                return leads_to(at_source.connection, session)

    def copy_many(self, source: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        """See `Storage.copy_many`."""
        if not isinstance(source, SshStorage):
            yield from super().copy_many(source, items, job)
        elif source._login() == self._login():  # noqa: SLF001 - of this class
            with self._used() as session:
                yield from Copying(session, session.absolute(source.location.path), job).run(items)
        else:
            yield from self._pushed(source, items, job)

    def _pushed(self, source: SshStorage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        with self._used() as session, source._used() as at_source:
            pushing = Pushing(session, source, at_source, job)
            yield from pushing.run([item for item in items if pushing.takes(item)])
            others = [item for item in items if not pushing.takes(item)]
        if others:
            yield from relay(source, self, others, job)

    def close(self) -> None:
        """See `Storage.close`."""
        self._end_session()
        connection, self._connection = self._connection, None
        if connection is not None:
            CONNECTIONS.give_back(connection)

    @contextmanager
    def _used(self) -> Iterator[Session]:
        """Give a session that is idle; what ends in the middle of something ends the session."""
        try:
            yield self._opened()
        except ConnectionLostError:
            # Whoever shares the connection has lost it, too, and nobody gets it again.
            if self._connection is not None:
                self._connection.close()
            self.close()
            raise
        except BaseException:
            self._end_session()
            raise

    def _opened(self) -> Session:
        if self._connection is not None and not self._connection.is_alive:
            self.close()
        if self._connection is None:
            self._connection = CONNECTIONS.lease(self._login())
        if self._session is None:
            self._session = Session(self._connection, self.location.path)
        return self._session

    def _login(self) -> Login:
        return login_of(self.location, self.access)

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
