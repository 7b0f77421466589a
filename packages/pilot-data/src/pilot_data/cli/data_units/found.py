"""Finds what a name of the catalogue names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pilot_data import data_session, handles
from pilot_data.catalogue import Catalogue, DataUnitRecord, PilotDataRecord, store_in, unit_in
from pilot_data.cli.catalogue_names import kind_of
from pilot_data.data_session import DataSession
from pilot_data.data_unit import DataUnit
from pilot_data.known_sessions import session_with
from pilot_data.pilot_data import PilotData
from pilot_protocol.errors import DescriptionError
from pilot_session.coordination_url import KINDS


@dataclass(frozen=True)
class Found:
    """An object of a catalogue.

    Attributes:
        session: That has it.
        kind: ``du`` or ``pd``.
        id: Its id.
    """

    session: DataSession
    kind: str
    id: str

    @property
    def catalogue(self) -> Catalogue:
        """That has it."""
        return self.session.catalogue

    @property
    def url(self) -> str:
        """Where to find it again; holds no password."""
        return self.session.url_of(self.id)

    @property
    def unit_record(self) -> DataUnitRecord:
        """What is known of it, as a data unit.

        Raises:
            StateError: Nothing.
        """
        return unit_in(self.catalogue, self.id)

    @property
    def store_record(self) -> PilotDataRecord:
        """What is known of it, as a Pilot-Data.

        Raises:
            StateError: Nothing.
        """
        return store_in(self.catalogue, self.id)

    @property
    def unit(self) -> DataUnit:
        """It, as a data unit."""
        return DataUnit.of(self.session, self.id)

    @property
    def store(self) -> PilotData:
        """It, as a Pilot-Data."""
        return PilotData.of(self.session, self.id)


def find(text: str, session: str = "", *, kind: str = "") -> Found:
    """Return what a text of the user names.

    Args:
        text: A URL or a bare id.
        session: Where to look for a bare id; by default in all sessions that are known on this machine.
        kind: What it has to be, ``du`` or ``pd``; empty for both.

    Raises:
        CoordinationError: The server cannot be reached, or the session is not known on this machine.
        DescriptionError: It names something else.
        StateError: There is no such object.
    """
    named = kind_of(text)
    if kind not in {"", named}:
        raise DescriptionError(
            f"{text!r} is a {KINDS[named]}; a {KINDS[kind]} is needed", key="name", value=text
        )
    if "://" in text:
        where, name = handles.find("name", text, named)
        found = Found(where, named, name)
    else:
        found = Found(data_session.join(session or session_with(text)), named, text)
    _ = found.unit_record if named == "du" else found.store_record
    return found


def find_one(texts: Sequence[str], session: str, verb: str) -> Found:
    """Return the data unit that a user named as the only source.

    Raises:
        DescriptionError: There are several, or it is something else.
    """
    if len(texts) != 1:
        raise DescriptionError(f"{verb} takes one data unit, without further sources", key="sources")
    return find(texts[0], session, kind="du")
