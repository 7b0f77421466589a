"""Session files: what a client must know to come back to a session, kept on the machine that made it.

One file per session in ``$XDG_STATE_HOME/pilot/sessions``, readable by its owner alone, since it holds the session's
signing key and the password of its Redis server: secrets that appear in no URL and never enter Redis.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilot_protocol.errors import CoordinationError, DescriptionError

from .private_files import make_private_directory, read_private, write_private

KEEP_S = 30 * 24 * 3600
"""Age in seconds, since it was last read or written, at which `SessionFiles.prune` deletes a session file."""

_SESSION = re.compile(r"s-[a-z2-7]{16}")
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class EmbeddedServer:
    """The embedded server that a session lives in.

    Attributes:
        directory: Of the server; the client's ``EmbeddedRedis.attach`` takes it.
        stay: True when the server outlives the application.
    """

    directory: str
    stay: bool = False


@dataclass(frozen=True)
class SessionFile:
    """A session as its client knows it.

    Attributes:
        session: The session's id.
        coordination_url: Of the Redis server, with the password.
        key_hex: The signing key, 32 bytes as 64 hexadecimal digits.
        created: When the session was made, seconds since 1970 by the client's clock; for people to read.
        embedded: The embedded server; None when the server is somebody else's.
    """

    session: str
    coordination_url: str = field(repr=False)
    key_hex: str = field(repr=False)
    created: float
    embedded: EmbeddedServer | None = None

    def __post_init__(self) -> None:
        _check_session(self.session)
        if not _KEY.fullmatch(self.key_hex):
            raise DescriptionError(
                f"the key of session {self.session} is not made of 64 hexadecimal digits", key="key_hex"
            )


class SessionFiles:
    """The session files of one user on one machine.

    Args:
        directory: Where they lie, ``SessionConfig.sessions_dir``.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, session: str) -> Path:
        """Return where the file of a session is or would be.

        Raises:
            DescriptionError: ``session`` is no session id.
        """
        _check_session(session)
        return self.directory / f"{session}.json"

    def save(self, file: SessionFile) -> Path:
        """Write a session file, whole or not at all, and return its path.

        Raises:
            CoordinationError: It cannot be written.
        """
        make_private_directory(self.directory)
        path = self.path(file.session)
        write_private(path, _encoded(file), durable=True)
        return path

    def load(self, session: str) -> SessionFile:
        """Return what is known of a session.

        Raises:
            CoordinationError: There is no such file, others can read it, or it was not written by `save`.
            DescriptionError: ``session`` is no session id.
        """
        path = self.path(session)
        try:
            data = read_private(path)
        except FileNotFoundError:
            raise CoordinationError(
                f"session {session} is not known here: {path} is missing; copy it from the machine that made the "
                "session, to the same place, with mode 0600",
                transient=False,
            ) from None
        return _decoded(path, session, data)

    def delete(self, session: str) -> None:
        """Delete the file of a session, if there is one."""
        self.path(session).unlink(missing_ok=True)

    def list_sessions(self) -> list[str]:
        """Return the ids of the sessions that are known here, sorted."""
        return sorted(path.stem for path in self.directory.glob("s-*.json") if _SESSION.fullmatch(path.stem))

    def prune(self, now: float, keep_s: float = KEEP_S) -> list[str]:
        """Delete the files of forgotten sessions.

        Args:
            now: Seconds since 1970.
            keep_s: A file stays for so many seconds after it was last written or, as far as the file system tells,
                read; 30 days by default.

        Returns:
            The sessions whose files were deleted.
        """
        forgotten = [session for session in self.list_sessions() if self._last_used(session) < now - keep_s]
        for session in forgotten:
            self.delete(session)
        return forgotten

    def _last_used(self, session: str) -> float:
        try:
            found = self.path(session).stat()
        except FileNotFoundError:  # another process has just deleted it
            return math.inf
        return max(found.st_mtime, found.st_atime)


def _check_session(session: str) -> None:
    if not _SESSION.fullmatch(session):
        raise DescriptionError(
            f"{session!r} is no session id; it is 's-' and 16 of the characters a-z and 2-7",
            key="session",
            value=session,
        )


def _encoded(file: SessionFile) -> bytes:
    embedded = file.embedded and {"directory": file.embedded.directory, "stay": file.embedded.stay}
    record = {
        "session": file.session,
        "coordination_url": file.coordination_url,
        "key": file.key_hex,
        "created": file.created,
        "embedded": embedded,
    }
    return json.dumps(record, indent=1).encode() + b"\n"


def _decoded(path: Path, session: str, data: bytes) -> SessionFile:
    try:
        record = json.loads(data)
        file = SessionFile(
            session=_text(record["session"]),
            coordination_url=_text(record["coordination_url"]),
            key_hex=_text(record["key"]),
            created=float(record["created"]),
            embedded=_embedded(record.get("embedded")),
        )
    except (ValueError, KeyError, TypeError, DescriptionError):
        file = None  # the reason would show what is in the file
    if file is None or file.session != session:
        raise CoordinationError(
            f"{path} is damaged or belongs to another session; copy it again from the machine that made the session",
            transient=False,
        )
    return file


def _embedded(record: Any) -> EmbeddedServer | None:
    if record is None:
        return None
    return EmbeddedServer(_text(record["directory"]), bool(record["stay"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected, {type(value).__name__} found")
    return value
