"""The sessions that this process has open, and how a service finds its own.

The invariant: one session object per session, and one default session per server, see `pilot_session.shared_sessions`.
"""

from __future__ import annotations

from pilot_protocol.errors import DescriptionError
from pilot_session import coordination_url
from pilot_session.coordination_url import ObjectUrl
from pilot_session.shared_sessions import shared

from .config import ClientConfig
from .session import Session

_open: dict[str, Session] = {}


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
    with shared.lock:
        return join(shared.default(place, lambda: _remember(Session.create(given)).id))


def newest_default() -> Session | None:
    """Return the default session that was made last; None before the first."""
    with shared.lock:
        newest = shared.newest_default()
        return None if newest is None else join(newest)


def join(session: str) -> Session:
    """Return a session by its id, also one that another process made.

    Raises:
        CoordinationError: Its file is not on this machine, or its server cannot be reached.
        DescriptionError: It is no session id.
    """
    with shared.lock:
        known = _open.get(session)
        if known is None or not known.is_open:
            known = _remember(Session(shared.file(session)))
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
    coordination_url.check_kind(found.id, found.kind, kind)
    return join(found.session), found.id


def _remember(session: Session) -> Session:
    _open[session.id] = session
    return session
