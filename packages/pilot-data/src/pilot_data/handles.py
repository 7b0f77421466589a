"""What the handles of Pilot-Data and data units have in common: an object of a catalogue, known by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar

from pilot_protocol.checks import text
from pilot_protocol.errors import DescriptionError, StateError
from pilot_session.coordination_url import KINDS
from pilot_session.getters import Getters

from . import data_session
from .data_session import DataSession

if TYPE_CHECKING:
    from typing_extensions import Self

H = TypeVar("H", bound="Handle")


class Handle(Getters):
    """An object of a catalogue. Two handles of one object are equal.

    Attributes:
        kind: What its id begins with.
    """

    kind: ClassVar[str]
    _session: DataSession
    _id: str

    @classmethod
    def of(cls, session: DataSession, name: str) -> Self:
        """Return the handle of an object of a session."""
        handle = cls.__new__(cls)
        handle._take(session, name)  # noqa: SLF001 - of this very class
        return handle

    def _take(self, session: DataSession, name: str) -> None:
        self._session = session
        self._id = name

    @property
    def id(self) -> str:
        """Its id, unique in its catalogue."""
        return self._id

    @property
    def url(self) -> str:
        """Where to find it again; holds no password. ``local:///…`` is good in the process that made it."""
        return self._session.url_of(self.id)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self)):
            return NotImplemented
        return self.url == other.url

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def find(key: str, url: object, kind: str) -> tuple[DataSession, str]:
    """Return the session and the id of an object by its URL.

    Args:
        key: What the URL is called in errors.
        url: Of the user.
        kind: What its id has to begin with.

    Raises:
        CoordinationError: The catalogue cannot be reached.
        DescriptionError: It is no URL, or that of another kind of object.
        StateError: The catalogue has no such object.
    """
    address = text(key, url)
    session, name = data_session.find(address, kind)
    if address.startswith(data_session.LOCAL) and not _is_known(session, name, kind):
        raise StateError(
            f"the catalogue has no {KINDS[kind]} {name}; what a service without a coordination URL makes is known in its own "
            "process only: make the service with a coordination_url to find it from others"
        )
    return session, name


def _is_known(session: DataSession, name: str, kind: str) -> bool:
    if kind == "pds":
        return name in session.services
    catalogue = session.catalogue
    return (catalogue.pilot_data(name) if kind == "pd" else catalogue.data_unit(name)) is not None


def checked(key: str, value: object, kind: type[H], session: DataSession) -> H:
    """Return a handle that a user gave.

    Args:
        key: What it is called in errors.
        value: What was given.
        kind: What it has to be.
        session: Whose it has to be.

    Raises:
        DescriptionError: It is something else.
        StateError: It is in another catalogue.
    """
    if not isinstance(value, kind):
        raise DescriptionError(f"{key} is {value!r}; a {kind.__name__} is allowed", key=key, value=value)
    if value._session is not session:  # noqa: SLF001 - of this very class
        raise StateError(
            f"{value.id} is in another catalogue; make both services with the same coordination URL"
        )
    return value
