"""What an agent and its mover say to one another: JSON, an object a line. Pure.

The secrets come in the first line, by standard input; nothing here shows them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from pilot_protocol.errors import DescriptionError, ProtocolError
from pilot_session.coordination_url import is_id, parse_object_url, redact

IN = "in"
OUT = "out"


@dataclass(frozen=True)
class Settings:
    """What a mover is told first.

    Attributes:
        session: Its id.
        coordination_url: Of the Redis server, with the password.
        key: Of the session.
        pilot: Id of the pilot that it serves.
        datacenter: The pilot's label; empty for none.
        machine: The pilot's label; empty for none.
        sandbox: Folder of the pilot, absolute.
        cache_bytes: How much the cache may hold; 0 for what has room on the disk.
        transfers: How many requests are served at once.
        is_fresh: Whether no unit of the agent uses anything yet. What units of an agent before it used may go: they ended
            with it.
    """

    session: str
    coordination_url: str = field(repr=False)
    key: bytes = field(repr=False)
    pilot: str
    datacenter: str
    machine: str
    sandbox: str
    cache_bytes: int
    transfers: int
    is_fresh: bool


@dataclass(frozen=True)
class Epoch:
    """The registration of the pilot that deliveries are made under, from now on."""

    epoch: str


@dataclass(frozen=True)
class Request:
    """Files of a compute unit that are to be moved.

    Attributes:
        do: ``in`` before it runs, ``out`` after.
        unit: Its id.
        attempt: Which of its attempts.
        folder: Its working directory, absolute.
        data: Data units, each with patterns of file names.
        transfers: ``source > target`` or ``target < source``.
    """

    do: str
    unit: str
    attempt: int
    folder: str
    data: Mapping[str, tuple[str, ...]]
    transfers: tuple[str, ...]

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from others."""
        return self.unit, self.attempt, self.do


@dataclass(frozen=True)
class Cancel:
    """The requests of an attempt are not wanted any more."""

    unit: str
    attempt: int


@dataclass(frozen=True)
class Release:
    """An attempt has ended; what was fetched for it may go."""

    unit: str
    attempt: int


Message = Epoch | Request | Cancel | Release


@dataclass(frozen=True)
class Answer:
    """How a request ended.

    Attributes:
        request: Which one.
        error: Why its files are not where they are to be; empty when they are.
        bytes: That were moved.
        linked: How many files were linked into the folder.
        is_stale: Whether it is because the catalogue's server takes the attempt for nobody's, or for another pilot's; the agent
            finds out which, and may ask again.
    """

    request: Request
    error: str = ""
    bytes: int = 0
    linked: int = 0
    is_stale: bool = False

    def line(self) -> str:
        """Return it as it is said."""
        said = {
            "unit": self.request.unit,
            "attempt": self.request.attempt,
            "did": self.request.do,
            "error": self.error,
            "bytes": self.bytes,
            "linked": self.linked,
            "stale": self.is_stale,
        }
        return json.dumps(said) + "\n"


def read_settings(line: str) -> Settings:
    """Read the first line.

    Raises:
        ProtocolError: It has another form; the error shows nothing of it.
    """
    try:
        said = json.loads(line)
        datacenter, _, machine = said["label"].partition(",")
        return Settings(
            session=said["session"],
            coordination_url=said["coordination_url"],
            key=bytes.fromhex(said["key_hex"]),
            pilot=said["pilot"],
            datacenter=unquote(datacenter),
            machine=unquote(machine),
            sandbox=said["sandbox"],
            cache_bytes=said["cache_mb"] * 1_000_000,
            transfers=said["transfers"],
            is_fresh=said["fresh"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"the first line is no settings of a mover: {type(error).__name__}") from None


def read_message(line: str) -> Message:
    """Read a further line.

    Raises:
        ProtocolError: It has another form.
    """
    try:
        return _message(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"{line[:200]!r} is nothing that a mover is told: {error!r}") from None


def _message(said: dict[str, Any]) -> Message:
    if "epoch" in said:
        return Epoch(said["epoch"])
    what, unit, attempt = said["do"], said["unit"], said["attempt"]
    if what == "cancel":
        return Cancel(unit, attempt)
    if what == "release":
        return Release(unit, attempt)
    if what not in {IN, OUT}:
        raise ValueError(f"do is {what!r}")
    data = {name: tuple(patterns) for name, patterns in said["data"].items()}
    return Request(what, unit, attempt, said["folder"], data, tuple(said["transfers"]))


def data_unit_id(name: str, session: str) -> str:
    """Return the id of a data unit.

    Args:
        name: Its id or URL.
        session: Of the pilot.

    Raises:
        DescriptionError: It is neither, or that of another session.
    """
    if is_id("du", name):
        return name
    found = parse_object_url(name)
    if found.kind != "du" or found.session != session:
        shown = redact(name)
        raise DescriptionError(
            f"{shown!r} is no data unit of the session of this pilot, {session}; make one there",
            key="input_data",
            value=shown,
        )
    return found.id
