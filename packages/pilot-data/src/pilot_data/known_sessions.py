"""Finds objects by their bare ids in the sessions that this user knows on this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from pilot_protocol import data_ops
from pilot_protocol.errors import CoordinationError, StateError
from pilot_protocol.keys import Keys
from pilot_session import coordination_url
from pilot_session.config import SessionConfig
from pilot_session.redis_link import RedisLink
from pilot_session.session_file import SessionFile, SessionFiles

_RECORDS = {"pd": data_ops.pilot_data_record, "du": data_ops.data_unit_record}


def session_with(name: str) -> str:
    """Return the session that has an object, the newest one first; looks only.

    Args:
        name: Id of a Pilot-Data or a data unit.

    Raises:
        CoordinationError: No session that answers has it, and one does not answer.
        StateError: No session has it.
    """
    silent: list[CoordinationError] = []
    files = _newest_first(silent)
    with _Links() as links:
        for file in files:
            if _has(links, file, name, silent):
                return file.session
    raise _not_found(name, len(files), silent)


def sessions_at(url: str) -> list[str]:
    """Return the sessions on a server that have Pilot-Data, of those that are known on this machine; looks only.

    Args:
        url: Of the server.

    Raises:
        CoordinationError: The server does not answer.
        DescriptionError: It is no such URL.
    """
    place = coordination_url.parse(url).public()
    with _Links() as links:
        return [
            file.session
            for file in _newest_first([])
            if coordination_url.parse(file.coordination_url).public() == place
            and links.to(file).query(data_ops.pilot_data_made(Keys(file.session)))
        ]


def _has(links: _Links, file: SessionFile, name: str, silent: list[CoordinationError]) -> bool:
    """Return whether a session has an object; a server that does not answer is told by its error."""
    record = _RECORDS[name.partition("-")[0]]
    try:
        return links.to(file).query(record(Keys(file.session), name)) is not None
    except CoordinationError as error:
        silent.append(error)
        return False


def _not_found(name: str, sessions: int, silent: list[CoordinationError]) -> StateError | CoordinationError:
    what = f"{coordination_url.KINDS[name.partition('-')[0]]} {name}"
    if silent:
        return CoordinationError(
            f"no session that answers has a {what}; {len(silent)} of the sessions known here could not be asked, the first: "
            f"{silent[0]}"
        )
    return StateError(
        f"none of the {sessions} sessions that are known on this machine has a {what}; was it made by another user or on "
        "another machine?"
    )


def _newest_first(silent: list[CoordinationError]) -> list[SessionFile]:
    """Return the session files that can be read; the others are told by their errors."""
    files = SessionFiles(SessionConfig.from_environment().sessions_dir)
    found = []
    for session in files.list_sessions():
        try:
            found.append(files.load(session))
        except CoordinationError as error:
            silent.append(error)
    return sorted(found, key=lambda file: file.created, reverse=True)


class _Links(AbstractContextManager["_Links"]):
    """One connection to each server; one that did not answer is not asked again. Leaving the context closes them."""

    def __init__(self) -> None:
        self._links: dict[str, RedisLink] = {}
        self._silent: dict[str, CoordinationError] = {}

    def to(self, file: SessionFile) -> RedisLink:
        """Return the connection to a session's server.

        Raises:
            CoordinationError: It did not answer.
        """
        url = coordination_url.parse(file.coordination_url)
        place = url.full()
        if place in self._silent:
            raise self._silent[place]
        if place not in self._links:
            link = self._links[place] = RedisLink(url, patience_s=0)
            try:
                link.facts  # noqa: B018 - connects
            except CoordinationError as error:
                self._silent[place] = error
                raise
        return self._links[place]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._links.values():
            link.close()
