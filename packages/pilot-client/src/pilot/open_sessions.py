"""The sessions that this process has open, and how a service finds its own.

The invariant: one session object per session, and one default session per server.
"""

from __future__ import annotations

import os
import threading

from pilot_protocol.errors import DescriptionError
from pilot_session import coordination_url
from pilot_session.coordination_url import ObjectUrl
from pilot_session.session_file import SessionFiles

from .config import ClientConfig
from .session import Session

_lock = threading.RLock()
_open: dict[str, Session] = {}
_defaults: dict[str, Session] = {}
"""By the server's URL without credentials; empty for the embedded server. The newest comes last."""


def _renew_lock() -> None:
    """Take another lock, in a forked child: a thread of the parent may have held the old one."""
    global _lock  # noqa: PLW0603 - the module is the registry
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_lock)


def choose(url: str | None, session: Session | str | None) -> Session:
    """Return the session of a service.

    Args:
        url: Of the server; None for ``$PILOT_COORDINATION_URL``, else an embedded server.
        session: A certain one, or its id; None for the one that all services of this process with this URL share.

    Raises:
        CoordinationError: The server cannot be reached, or the session is not known on this machine.
        DescriptionError: The URL cannot be read, or the session lives on another server.
    """
    if session is None:
        return default(url)
    chosen = join(session) if isinstance(session, str) else _remember(session)
    if url is not None and coordination_url.parse(url).public() != chosen.url.public():
        raise DescriptionError(
            f"session {chosen.id} lives at {chosen.url.public()}, not at {coordination_url.redact(url)}; "
            "leave the URL out",
            key="coordination_url",
        )
    return chosen


def default(url: str | None = None) -> Session:
    """Return the session that services with this URL share, and make it when it is the first use."""
    given = url or ClientConfig.from_environment().coordination_url
    place = coordination_url.parse(given).public() if given else ""
    with _lock:
        known = _defaults.get(place)
        if known is None or not known.is_open:
            _defaults.pop(place, None)  # so that the new one comes last
            known = _defaults[place] = _remember(Session.create(given))
        return known


def newest_default() -> Session | None:
    """Return the default session that was made last; None before the first."""
    with _lock:
        still_open = [session for session in _defaults.values() if session.is_open]
        return still_open[-1] if still_open else None


def join(session: str) -> Session:
    """Return a session by its id, also one that another process made.

    Raises:
        CoordinationError: Its file is not on this machine, or its server cannot be reached.
        DescriptionError: It is no session id.
    """
    with _lock:
        known = _open.get(session)
        if known is None or not known.is_open:
            files = SessionFiles(ClientConfig.from_environment().sessions_dir)
            known = _remember(Session(files.load(session)))
        return known


def find(url: str, kind: str) -> tuple[Session, str]:
    """Return the session and the id of an object by its URL.

    Args:
        url: As `Session.url_of` made it.
        kind: What it must name, one of `coordination_url.KINDS`.

    Raises:
        CoordinationError: As for `join`.
        DescriptionError: The URL cannot be read, or names something else.
    """
    found: ObjectUrl = coordination_url.parse_object_url(url)
    if found.kind != kind:
        raise DescriptionError(f"the URL {found.id!r} names a {found.kind}, a {kind} is needed", key="url")
    return join(found.session), found.id


def _remember(session: Session) -> Session:
    _open[session.id] = session
    return session
