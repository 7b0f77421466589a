"""What the services and handles of one catalogue share: the catalogue, the stager, and the URLs of objects."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from pilot_protocol.keys import Keys
from pilot_protocol.pilot_ops import open_session
from pilot_protocol.signing import KEY_BYTES
from pilot_protocol.states import State
from pilot_protocol.version import PROTOCOL, check_peer
from pilot_session import coordination_url
from pilot_session.config import SessionConfig
from pilot_session.identifiers import new_id
from pilot_session.session_file import SessionFile
from pilot_session.shared_sessions import shared

from .catalogue import Catalogue, DataUnitRecord, PilotDataRecord
from .local_catalogue import LocalCatalogue
from .stager import Stager

if TYPE_CHECKING:
    from pilot_session.coordination_url import CoordinationUrl

DEFAULT_LEASE_S = 30.0
"""Of sessions that are made here: how long a pilot counts as alive without a heartbeat."""

LOCAL = "local:///"
"""How URLs of objects begin that are in the catalogue of a process."""


class DataSession:
    """A catalogue as this process uses it.

    Args:
        catalogue: Of this process, or on a server.
        url: Of the server; None for a catalogue of this process.
        session: Its id, if it is on a server.

    Attributes:
        id: The session's; empty for the catalogue of this process.
        owner: Under which name this process moves files.
        services: Those that were made here, or are used here: what is asked for at their Pilot-Data is made here.
    """

    def __init__(self, catalogue: Catalogue, url: CoordinationUrl | None = None, session: str = "") -> None:
        self.catalogue = catalogue
        self._url = url
        self.id = session
        self.owner = new_id("pds")
        self.services: set[str] = set()
        self._lock = threading.Lock()
        self._stager: Stager | None = None

    @property
    def stager(self) -> Stager:
        """What makes replicas in this process; started when it is first needed, and again after it was closed."""
        with self._lock:
            if self._stager is None:
                self._stager = Stager(self.catalogue, self.owner)
                self._stager.serve(self._is_of_a_service_here, at_once=False)
            return self._stager

    def _is_of_a_service_here(self, store: PilotDataRecord) -> bool:
        return store.service in self.services

    def serve(self, service: str) -> None:
        """Make, from now on, what anybody asks for at the Pilot-Data of a service, and finish what others have left."""
        self.services.add(service)
        self.stager.serve(self._is_of_a_service_here)

    def is_coming(self, unit: DataUnitRecord, pilot_data: str = "") -> bool:
        """Return whether a data unit is Pending, or a replica is still to come that this process has asked for.

        Args:
            unit: As it is now.
            pilot_data: Only the replica there counts; by default all do.
        """
        with self._lock:
            stager = self._stager
        return unit.state is State.Pending or (stager is not None and stager.is_awaited(unit, pilot_data))

    def await_all(self, stores: Collection[str], limit_s: float | None) -> bool:
        """Wait until no data unit at some Pilot-Data is coming any more; return whether that is so.

        Args:
            stores: The Pilot-Data.
            limit_s: Seconds; None for no end.
        """
        coming = ""  # looked at first: as long as that one is, the others do not matter

        def is_over() -> bool:
            nonlocal coming
            if coming and self._is_any_coming(coming, stores):
                return False
            names = self.catalogue.list_data_units()
            coming = next((name for name in names if self._is_any_coming(name, stores)), "")
            return not coming

        return self.catalogue.wait_for(is_over, limit_s)

    def _is_any_coming(self, data_unit: str, stores: Collection[str]) -> bool:
        unit = self.catalogue.data_unit(data_unit)
        names = unit.replicas.keys() & set(stores) if unit is not None else ()
        return unit is not None and any(self.is_coming(unit, name) for name in names)

    def stop_staging(self) -> None:
        """Cancel what this process has asked for, hand back what others have, and return when no file moves any more."""
        with self._lock:
            stager, self._stager = self._stager, None
        if stager is not None:
            stager.close(cancel=True)

    def url_of(self, name: str) -> str:
        """Return the URL of an object; holds no password."""
        if self._url is None:
            return f"{LOCAL}{name}"
        return coordination_url.object_url(self._url, self.id, name.partition("-")[0], name)


_of_this_process = DataSession(LocalCatalogue())
"""For services without a coordination URL, unless services of `pilot` have a session."""
_by_session: dict[str, DataSession] = {}


def choose(url: str | None, session: Any = None) -> DataSession:
    """Return the session of a service.

    Args:
        url: Of a Redis server; by default ``$PILOT_COORDINATION_URL``, else the session that services of this process
            share already, else the catalogue of this process.
        session: A session of `pilot`, or its id, instead of the one that all services of this process with this URL share.

    Raises:
        CoordinationError: The server cannot be reached, or the session is not known on this machine.
        DescriptionError: The URL cannot be read.
    """
    if session is not None:
        return join(session if isinstance(session, str) else session.id)
    given = url or SessionConfig.from_environment().coordination_url
    if not given:
        newest = shared.newest_default()
        return _of_this_process if newest is None else join(newest)
    return join(shared.default(coordination_url.parse(given).public(), lambda: _make(given)))


def find(url: str, kind: str) -> tuple[DataSession, str]:
    """Return the session and the id of an object by its URL.

    Args:
        url: As `DataSession.url_of` made it.
        kind: What it must name: ``pds``, ``pd`` or ``du``.

    Raises:
        CoordinationError: The server cannot be reached, or the session is not known on this machine.
        DescriptionError: It is no URL of such an object.
    """
    if url.startswith(LOCAL):
        name = url[len(LOCAL) :]
        coordination_url.check_kind(name, name.partition("-")[0], kind)
        return _of_this_process, name
    found = coordination_url.parse_object_url(url)
    coordination_url.check_kind(found.id, found.kind, kind)
    return join(found.session), found.id


def _make(url: str) -> str:
    """Make a session and its file; return its id."""
    file = SessionFile(
        new_id("s"), coordination_url.parse(url).full(), secrets.token_hex(KEY_BYTES), time.time()
    )
    _open(file)
    shared.keep(file)
    return file.session


def join(session: str) -> DataSession:
    """Return a session that is known on this machine, as this process uses it.

    Args:
        session: Its id.

    Raises:
        CoordinationError: The server cannot be reached, or the session is not known on this machine.
        DescriptionError: It is no session id.
    """
    with shared.lock:
        known = _by_session.get(session)
        if known is None:
            file = shared.file(session)
            _open(file)
            url = coordination_url.parse(file.coordination_url)
            from .redis_catalogue import RedisCatalogue

            catalogue = RedisCatalogue(url, session, bytes.fromhex(file.key_hex))
            known = _by_session[session] = DataSession(catalogue, url, session)
            shared.before_end(session, partial(_leave, session))
        return known


def _leave(session: str) -> None:
    """Stop using a session whose server is about to end."""
    known = _by_session.pop(session, None)
    if known is not None:
        known.stop_staging()
        known.catalogue.close()


def _open(file: SessionFile) -> None:
    """Make a session known to its server, or see that it is."""
    from pilot_session.redis_link import RedisLink

    link = RedisLink(coordination_url.parse(file.coordination_url))
    try:
        opened = link.run(open_session(Keys(file.session), PROTOCOL, round(DEFAULT_LEASE_S * 1000)))
    finally:
        link.close()
    check_peer(opened.protocol, who=f"session {file.session}")
