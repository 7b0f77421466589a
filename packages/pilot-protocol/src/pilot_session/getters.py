"""The getters of BigJob, which every handle keeps beside the properties of the same meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pilot_protocol.states import State


class Getters:
    """Gives a class with ``id``, ``url``, ``state`` and ``details`` a getter for each."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def id(self) -> str:
            """Its id."""

        @property
        def url(self) -> str:
            """Its URL."""

        @property
        def state(self) -> State:
            """Its state."""

        @property
        def details(self) -> dict[str, Any]:
            """What is known of it."""

    def get_id(self) -> str:
        """Return ``id``."""
        return self.id

    def get_url(self) -> str:
        """Return ``url``."""
        return self.url

    def get_state(self) -> State:
        """Return ``state``."""
        return self.state

    def get_details(self) -> dict[str, Any]:
        """Return ``details``."""
        return self.details
