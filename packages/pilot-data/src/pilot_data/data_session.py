"""What the services and handles of one catalogue share: the catalogue, the stager, and the URLs of objects."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pilot_protocol.errors import DescriptionError
from pilot_protocol.keys import Keys
from pilot_protocol.pilot_ops import open_session
from pilot_protocol.signing import KEY_BYTES
from pilot_protocol.version import PROTOCOL, check_peer
from pilot_session import coordination_url
from pilot_session.config import SessionConfig
from pilot_session.identifiers import new_id
from pilot_session.session_file import SessionFile, SessionFiles

from .catalogue import Catalogue
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
        owner: Under which name this process moves files.
        services: Those that were made here.
    """

    def __init__(self, catalogue: Catalogue, url: CoordinationUrl | None = None, session: str = "") -> None:
        self.catalogue = catalogue
        self._url = url
        self._session = session
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
            return self._stager

    def stop_staging(self) -> None:
        """Cancel what is being staged by this process, and return when it has ended."""
        with self._lock:
            stager, self._stager = self._stager, None
        if stager is not None:
            stager.close(cancel=True)

    def take_over(self, stores: Sequence[str]) -> None:
        """Finish replicas at some Pilot-Data whose makers have ended; a catalogue of this process has no others."""
        if self._url is not None:
            self.stager.take_over(stores)

    def url_of(self, name: str) -> str:
        """Return the URL of an object; holds no password."""
        if self._url is None:
            return f"{LOCAL}{name}"
        return coordination_url.object_url(self._url, self._session, name.partition("-")[0], name)


_of_this_process = DataSession(LocalCatalogue())
"""For services without a coordination URL."""
_lock = threading.Lock()
_by_session: dict[str, DataSession] = {}
_default_of: dict[str, str] = {}
"""Sessions that this process has made, by the server's URL without credentials."""


def choose(url: str | None, session: Any = None) -> DataSession:
    """Return the session of a service.

    Args:
        url: Of a Redis server; by default ``$PILOT_COORDINATION_URL``, else the catalogue of this process.
        session: A session of `pilot`, or its id, instead of one of pilot-data's own.

    Raises:
        CoordinationError: The server cannot be reached, or the session is not known on this machine.
        DescriptionError: The URL cannot be read.
    """
    if session is not None:
        return join(session if isinstance(session, str) else session.id)
    given = url or SessionConfig.from_environment().coordination_url
    if not given:
        return _of_this_process
    place = coordination_url.parse(given).public()
    with _lock:
        if place not in _default_of:
            _default_of[place] = _make(given)
        known = _default_of[place]
    return join(known)


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
        _check_kind(url, name.partition("-")[0], kind)
        return _of_this_process, name
    found = coordination_url.parse_object_url(url)
    _check_kind(url, found.kind, kind)
    return join(found.session), found.id


def _check_kind(url: str, named: str, wanted: str) -> None:
    if named != wanted:
        text = coordination_url.redact(url)
        raise DescriptionError(
            f"the URL {text!r} names a {named!r}, a {wanted!r} is needed", key="url", value=text
        )


def _make(url: str) -> str:
    """Make a session and its file; return its id."""
    file = SessionFile(
        new_id("s"), coordination_url.parse(url).full(), secrets.token_hex(KEY_BYTES), time.time()
    )
    _open(file)
    SessionFiles(SessionConfig.from_environment().sessions_dir).save(file)
    return file.session


def join(session: str) -> DataSession:
    """Return a session that is known on this machine, as this process uses it.

    Args:
        session: Its id.

    Raises:
        CoordinationError: The server cannot be reached, or the session is not known on this machine.
        DescriptionError: It is no session id.
    """
    with _lock:
        known = _by_session.get(session)
        if known is None:
            file = SessionFiles(SessionConfig.from_environment().sessions_dir).load(session)
            _open(file)
            url = coordination_url.parse(file.coordination_url)
            from .redis_catalogue import RedisCatalogue

            catalogue = RedisCatalogue(url, session, bytes.fromhex(file.key_hex))
            known = _by_session[session] = DataSession(catalogue, url, session)
        return known


def _open(file: SessionFile) -> None:
    """Make a session known to its server, or see that it is."""
    from pilot_session.redis_link import RedisLink

    link = RedisLink(coordination_url.parse(file.coordination_url))
    try:
        opened = link.run(open_session(Keys(file.session), PROTOCOL, round(DEFAULT_LEASE_S * 1000)))
    finally:
        link.close()
    check_peer(opened.protocol, who=f"session {file.session}")
