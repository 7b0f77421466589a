"""What the services and handles of one catalogue share: the catalogue, the stager, and the URLs of objects."""

from __future__ import annotations

import threading

from pilot_protocol.errors import DescriptionError
from pilot_session.config import SessionConfig
from pilot_session.identifiers import new_id

from .catalogue import Catalogue
from .local_catalogue import LocalCatalogue
from .stager import Stager

LOCAL = "local:///"
"""How URLs of objects begin that are in the catalogue of a process."""


class DataSession:
    """A catalogue as this process uses it.

    Args:
        catalogue: Of this process, or on a server.
        place: How URLs of its objects begin.
    """

    def __init__(self, catalogue: Catalogue, place: str = LOCAL) -> None:
        self.catalogue = catalogue
        self._place = place
        self.owner = new_id("pds")
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

    def url_of(self, name: str) -> str:
        """Return the URL of an object."""
        return f"{self._place}{name}"


_of_this_process = DataSession(LocalCatalogue())
"""For services without a coordination URL."""


def choose(coordination_url: str | None) -> DataSession:
    """Return the session of a service.

    Args:
        coordination_url: Of a Redis server; by default ``$PILOT_COORDINATION_URL``, else the catalogue of this process.
    """
    given = coordination_url or SessionConfig.from_environment().coordination_url
    if not given:
        return _of_this_process
    raise NotImplementedError


def find(url: str) -> tuple[DataSession, str]:
    """Return the session and the id of an object by its URL.

    Raises:
        DescriptionError: It is no URL of an object.
    """
    if url.startswith(LOCAL):
        return _of_this_process, url[len(LOCAL) :]
    raise DescriptionError(f"{url!r} is no URL of a data unit or Pilot-Data", key="url", value=url)
