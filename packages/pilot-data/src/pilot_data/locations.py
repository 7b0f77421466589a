"""URLs of files and storages. Pure: reads and writes text only; nothing is looked up.

A text with ``://`` is a URL, and ``%41`` in it stands for the byte of that number (RFC 3986); blanks and UTF-8 may stand
as they are. Any other text is a local path, taken literally.
"""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

from pilot_protocol.errors import DescriptionError

ALIASES = {"sftp": "ssh", "go": "globus"}
"""Schemes that mean another one; ``go`` is BigJob's name of Globus Online."""

ROOTED = frozenset({"file", "ssh"})
"""Schemes whose paths are absolute: they begin with ``/`` or, at a host, with ``~``."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_LEGIBLE = "/~!$&'()+,;=:@ "


@dataclass(frozen=True)
class Location:
    """A place where files are.

    Attributes:
        scheme: ``file``, ``ssh``, ``s3``, ``globus``, or that of an adaptor of somebody else's.
        host: A host name (ssh), a bucket (s3), a collection's id (globus); empty for ``file``.
        path: Decoded, without a slash at the end: absolute for ``file`` and ``ssh``, or ``~/…`` for ``ssh``; a key's
            prefix for ``s3``; absolute for ``globus``.
        user: Login name; empty for the default one.
        port: TCP port; 0 for the default one.
    """

    scheme: str
    host: str = ""
    path: str = ""
    user: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.scheme == "file":
            return f"file://{_encoded(self.path)}"
        login = f"{quote(self.user, safe='')}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        host = quote(self.host, safe=":")
        host = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{login}{host}{port}{_shown_path(self.scheme, self.path)}"

    @property
    def has_name(self) -> bool:
        """Whether this is a file or folder in another one: no root of a storage, and nobody's home."""
        return bool(self.name) and not (
            self.path.startswith("~") and "/" not in self.path and self.scheme == "ssh"
        )

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> Location:
        """The folder that this is in."""
        head = self.path.rpartition("/")[0]
        return replace(self, path=head or ("/" if self.path.startswith("/") else ""))

    def joined(self, path: str) -> Location:
        """Return the place of a file below this one.

        Args:
            path: Relative, decoded.
        """
        if not path:
            return self
        return replace(self, path=f"{self.path.rstrip('/')}/{path}" if self.path else path)


def parse(text: str, key: str = "url") -> Location:
    """Read a URL or a local path.

    Args:
        text: Of the user.
        key: What the text is called in errors.

    Raises:
        DescriptionError: It is no URL, holds a password, or lacks a host, bucket or collection.
    """
    if not text:
        raise DescriptionError(
            f"{key} is empty; give a path, or a URL like ssh://host/path", key=key, value=text
        )
    found = _SCHEME.match(text)
    if found is None:
        return Location("file", path=os.path.abspath(os.path.expanduser(text)))
    scheme = found[1].lower()
    scheme = ALIASES.get(scheme, scheme)
    authority, slash, path = text[found.end() :].partition("/")
    location = _with_authority(scheme, authority, key, text)
    return replace(location, path=_path_of(scheme, slash + path, key, text))


def path_begin(text: str) -> int:
    """Return where the path begins in a text that `parse` reads; its length where a URL has none."""
    found = _SCHEME.match(text)
    if found is None:
        return 0
    slash = text.find("/", found.end())
    return slash if slash >= 0 else len(text)


def _with_authority(scheme: str, authority: str, key: str, text: str) -> Location:
    try:
        parts = urlsplit(f"//{authority}")
        port = parts.port or 0
    except ValueError as error:
        raise DescriptionError(f"{key} {text!r} is no URL: {error}", key=key, value=text) from None
    if parts.password is not None:
        raise DescriptionError(
            f"{key} holds a password; use a key file, an agent or a profile instead", key=key
        )
    # urlsplit lowers the case of host names; names of buckets and collections keep theirs.
    host = authority.rpartition("@")[2].partition(":")[0] if "[" not in authority else parts.hostname or ""
    if scheme == "file":
        if host not in {"", "localhost"}:
            raise DescriptionError(
                f"{key} {text!r} names the host {host!r}; file: means this machine, use ssh://{host}/…",
                key=key,
                value=text,
            )
        return Location("file")
    if not host:
        raise DescriptionError(
            f"{key} {text!r} lacks {_HOSTS.get(scheme, 'a host')} behind {scheme}://", key=key, value=text
        )
    return Location(scheme, host=unquote(host), user=unquote(parts.username or ""), port=port)


_HOSTS = {"ssh": "a host", "s3": "a bucket", "globus": "the id of a collection"}


def _path_of(scheme: str, encoded: str, key: str, text: str) -> str:
    path = unquote(encoded, errors="surrogateescape")
    if "\0" in path:
        raise DescriptionError(
            f"{key} {text!r} has a zero byte; no name of a file has one", key=key, value=text
        )
    if scheme == "ssh" and encoded.startswith("/~"):
        return _tidy(path[1:])
    if scheme == "file" and not path:
        raise DescriptionError(f"{key} {text!r} lacks a path", key=key, value=text)
    if scheme == "file":
        return os.path.abspath(path)
    if scheme in ROOTED or scheme == "globus":
        return _tidy(path or "/")
    return path.strip("/")


def _tidy(path: str) -> str:
    return path.rstrip("/") or "/"


def _shown_path(scheme: str, path: str) -> str:
    if not path or not path.startswith("/"):
        return f"/{_encoded(path)}" if path else ""
    if scheme == "ssh" and path.startswith("/~"):  # a file of that name, and nobody's home
        return f"/%7E{_encoded(path[2:])}"
    return _encoded(path)


def _encoded(path: str) -> str:
    """Return a path as a URL shows it: legible, and such that `parse` gives back the same path."""
    if path.isascii():
        return quote(path, safe=_LEGIBLE)
    return "".join(
        part
        if part.isprintable() and not part.isascii()
        else quote(part, safe=_LEGIBLE, errors="surrogateescape")
        for part in path
    )
