"""URLs: of the Redis server that coordinates, and of the objects that live in it.

Pure: reads and writes text only. The invariant: a password leaves through `CoordinationUrl.full` alone; `repr`, `str`,
errors, object URLs and `redact` never show one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from pilot_protocol.errors import DescriptionError
from pilot_protocol.user_warnings import warn_deprecated

DEFAULT_PORT = 6379
SCHEMES = ("redis", "rediss", "unix")
KINDS = {
    "pilot": "pilot",
    "unit": "compute unit",
    "pcs": "PilotComputeService",
    "cds": "ComputeDataService",
    "pds": "PilotDataService",
    "pd": "Pilot-Data",
    "du": "data unit",
}
"""What an object URL may name, and what that is called."""

TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
"""Queries allowed in ``rediss://``, handed to redis-py: paths and switches, no secrets."""

ALLOWED = (
    "redis://[user:password@]host[:port][/db], rediss://[user:password@]host[:port][/db], "
    "unix://[user:password@]/path[?db=n]"
)

_SESSION = re.compile(r"s-[a-z2-7]{16}")
_IDS = {
    "pilot": re.compile(r"p-[a-z2-7]{8}"),
    "unit": re.compile(r"cu-[a-z2-7]{6}-[0-9]{1,12}"),
    "pcs": re.compile(r"pcs-[a-z2-7]{8}"),
    "cds": re.compile(r"cds-[a-z2-7]{8}"),
    "pds": re.compile(r"pds-[a-z2-7]{8}"),
    "pd": re.compile(r"pd-[a-z2-7]{8}"),
    "du": re.compile(r"du-[a-z2-7]{12}"),
}


@dataclass(frozen=True)
class CoordinationUrl:
    """Where the Redis server is and how to log in.

    Attributes:
        scheme: One of `SCHEMES`.
        host: Name or address; empty for ``unix``.
        port: TCP port; 0 for ``unix``.
        path: Socket of a ``unix`` URL, else empty.
        db: Number of the database.
        username: Empty for the default user.
        password: Empty for none.
        options: Pairs of `TLS_OPTIONS` and their values.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    db: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return self.public()

    def public(self) -> str:
        """Return the URL without user and password; equal for two URLs of the same database."""
        return self._written("", ())

    def public_with(self, *query: tuple[str, str]) -> str:
        """Return the URL without user and password, with pairs of names and values added to its query."""
        return self._written("", query)

    def full(self) -> str:
        """Return the URL with user and password, in the form that redis-py reads. Not to be logged."""
        return self._written(self._credentials(), ())

    def _credentials(self) -> str:
        if not (self.username or self.password):
            return ""
        return f"{quote(self.username, safe='')}:{quote(self.password, safe='')}@"

    def _written(self, credentials: str, query: tuple[tuple[str, str], ...]) -> str:
        if self.scheme == "unix":
            place = quote(self.path)
            query = ((("db", str(self.db)),) if self.db else ()) + query
        else:
            host = f"[{self.host}]" if ":" in self.host else self.host
            place = f"{host}:{self.port}/{self.db}"
        query = self.options + query
        return f"{self.scheme}://{credentials}{place}" + (f"?{urlencode(query)}" if query else "")


@dataclass(frozen=True)
class ObjectUrl:
    """What the URL of a pilot, a compute unit or a service says.

    Attributes:
        coordination: The Redis server, without a password unless the URL had one.
        session: The session's id.
        kind: One of `KINDS`.
        id: The object's id.
    """

    coordination: CoordinationUrl
    session: str
    kind: str
    id: str


def parse(url: str) -> CoordinationUrl:
    """Read a coordination URL.

    ``redis://localhost`` means port 6379 and database 0. BigJob's ``redis://password@host`` is read as a password, with
    a DeprecationWarning.

    Raises:
        DescriptionError: The URL is not of one of the forms in `ALLOWED`.
    """
    return _server(*_split(url), url)


def object_url(coordination: CoordinationUrl, session: str, kind: str, id: str) -> str:  # noqa: A002 - the field word
    """Return the URL of an object, without credentials.

    Raises:
        DescriptionError: ``kind`` is none of `KINDS`.
    """
    if kind not in KINDS:
        raise DescriptionError(f"no URL for a {kind!r}; allowed: {', '.join(KINDS)}", key="kind", value=kind)
    return coordination.public_with(("session", session), (kind, id))


def parse_object_url(url: str) -> ObjectUrl:
    """Read the URL of an object, as `object_url` wrote it.

    Raises:
        DescriptionError: It names no session, no object or more than one, an id of another form, or no Redis server.
    """
    bare = next((noun for kind, noun in KINDS.items() if is_id(kind, url)), "")
    if bare:
        raise DescriptionError(f"{url!r} is the id of a {bare}; give its `url`", key="url", value=url)
    parts, query = _split(url)
    session = query.pop("session", "")
    named = [kind for kind in KINDS if kind in query]
    if not _SESSION.fullmatch(session) or len(named) != 1:
        raise _unreadable(
            url, f"an object's URL ends in ?session=s-…&KIND=ID with one KIND of {', '.join(KINDS)}"
        )
    kind = named[0]
    object_id = query.pop(kind)
    if not _IDS[kind].fullmatch(object_id):
        raise _unreadable(url, f"{object_id!r} is no id of a {kind}")
    return ObjectUrl(_server(parts, query, url), session, kind, object_id)


def check_kind(name: str, kind: str, wanted: str) -> None:
    """Check that the URL of an object, of which this is the id, names what is wanted, both of `KINDS`.

    Raises:
        DescriptionError: It names something else.
    """
    if kind != wanted:
        raise DescriptionError(
            f"the URL is that of {name!r}; that of a {KINDS[wanted]} is needed", key="url", value=name
        )


_OF_REDIS = re.compile(
    r"(?P<scheme>\b(?:redis|rediss|valkey|valkeys|unix)://)(?P<user>[^\s/:@]*:)?(?!/)\S*@", re.IGNORECASE
)
_OF_OTHERS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)(?P<user>[^\s/?#:@]*:)[^\s/?#]*@", re.IGNORECASE)


def redact(text: str) -> str:
    """Return the text with ``***`` in place of the password of every URL in it.

    In URLs of Redis servers everything up to the last ``@`` counts as password, so that one with characters that should
    have been quoted does not slip through.
    """
    text = _OF_REDIS.sub(lambda found: f"{found['scheme']}{found['user'] or ''}***@", text)
    return _OF_OTHERS.sub(lambda found: f"{found['scheme']}{found['user']}***@", text)


def is_id(kind: str, text: object) -> bool:
    """Tell whether a text has the form of an id of this kind, one of `KINDS`."""
    return isinstance(text, str) and _IDS[kind].fullmatch(text) is not None


def _split(url: str) -> tuple[SplitResult, dict[str, str]]:
    if not isinstance(url, str):
        raise DescriptionError(
            f"a URL is a {type(url).__name__}; text is needed: {ALLOWED}", key="coordination_url", value=url
        )
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _unreadable(url, "it is malformed") from None  # the cause would show parts of the URL
    if parts.scheme not in SCHEMES:
        raise _unreadable(url, f"the scheme is {parts.scheme!r}")
    if parts.fragment:
        raise _unreadable(url, "a '#' in a password is written %23")
    names = [name for name, _ in query]
    if len(set(names)) < len(names):
        raise _unreadable(url, "a query is given twice")
    return parts, dict(query)


def _server(parts: SplitResult, query: dict[str, str], url: str) -> CoordinationUrl:
    """Read what is left of a URL when the part that names an object is taken away."""
    username, password = _login(parts)
    options = tuple(
        (name, query.pop(name)) for name in TLS_OPTIONS if parts.scheme == "rediss" and name in query
    )
    db_in_query = query.pop("db", "")
    if query:
        raise _unreadable(url, "its query has a name that is not known")
    if parts.scheme == "unix":
        path = _socket_path(parts, url)
        return CoordinationUrl(
            "unix", path=path, db=_db(db_in_query, url), username=username, password=password
        )
    db_in_path = parts.path.strip("/")
    if db_in_path and db_in_query:
        raise _unreadable(url, "the database is given twice")
    host, port = _host_and_port(parts, url)
    db = _db(db_in_path or db_in_query, url)
    return CoordinationUrl(parts.scheme, host, port, "", db, username, password, options)


def _login(parts: SplitResult) -> tuple[str, str]:
    username, password = unquote(parts.username or ""), parts.password
    if username and password is None:
        warn_deprecated(
            f"a coordination URL with the password in the user's place is deprecated; "
            f"write {parts.scheme}://:password@host"
        )
        return "", username
    return username, unquote(password or "")


def _socket_path(parts: SplitResult, url: str) -> str:
    if parts.hostname:
        raise _unreadable(url, "the path of a socket is absolute: unix:///path, with three slashes")
    path = unquote(parts.path)
    if not path.strip("/"):
        raise _unreadable(url, "the path of the socket is missing")
    return path


def _host_and_port(parts: SplitResult, url: str) -> tuple[str, int]:
    try:
        port = parts.port
    except ValueError:
        raise _unreadable(url, "the port is a number from 1 to 65535") from None  # the cause shows the port
    if not parts.hostname:
        raise _unreadable(url, "the host is missing")
    if port == 0:
        raise _unreadable(url, "the port is a number from 1 to 65535")
    return parts.hostname, port or DEFAULT_PORT


def _db(text: str, url: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        raise _unreadable(url, "the database is a number from 0")
    return int(text)


def _place_in(url: str) -> str:
    """Return scheme and host of what is no sound URL: anything beyond may be a password, wherever it stands."""
    scheme, colon, rest = url.partition("://")
    if not colon:
        return "…"
    host = re.match(r"[A-Za-z0-9._-]*", rest.rpartition("@")[2])
    return f"{scheme}://{host[0] if host else ''}…"


def _unreadable(url: str, why: str) -> DescriptionError:
    shown = _place_in(url)
    return DescriptionError(
        f"the URL {shown!r} cannot be read: {why}; allowed: {ALLOWED}", key="coordination_url", value=shown
    )
