"""What all requests of a mover share."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from pilot_data.catalogue import PilotDataRecord, store_in

from .messages import Settings
from .nearness import Label
from .pins import forget_pins
from .turns import Turns

if TYPE_CHECKING:
    from .cache import Cache
    from .deliveries import NodeCatalogue

CACHE = "data-cache"
"""Name of the cache's folder in the sandbox."""


class Node:
    """The machine as a mover sees it. Catalogue and cache are opened when they are first needed.

    Args:
        settings: Of the mover.

    Attributes:
        epoch: The pilot's current registration.
        label: Of the pilot.
        turns: Of deliveries.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.epoch = ""
        self.label = Label(settings.datacenter, settings.machine)
        self.turns = Turns()
        self._stores: dict[str, PilotDataRecord] = {}
        self._lock = threading.RLock()
        if settings.is_fresh:
            forget_pins(self.cache_folder)

    @property
    def cache_folder(self) -> str:
        """Where fetched files are, absolute."""
        return f"{self.settings.sandbox}/{CACHE}"

    @property
    def catalogue(self) -> NodeCatalogue:
        """The session's catalogue."""
        with self._lock:
            return self._catalogue

    @property
    def cache(self) -> Cache:
        """The pilot's cache of files."""
        with self._lock:
            return self._cache

    @cached_property
    def _catalogue(self) -> NodeCatalogue:
        from pilot_session import coordination_url

        from .deliveries import NodeCatalogue

        url = coordination_url.parse(self.settings.coordination_url)
        return NodeCatalogue(url, self.settings.session, self.settings.key)

    @cached_property
    def _cache(self) -> Cache:
        from .cache import Cache

        return Cache(self.cache_folder, self.settings.cache_bytes)

    def store(self, name: str) -> PilotDataRecord:
        """Return what does not change of a Pilot-Data: where and how it is.

        Raises:
            StateError: The catalogue has none of this id.
        """
        if name not in self._stores:
            self._stores[name] = store_in(self.catalogue, name)
        return self._stores[name]

    def wake(self) -> None:
        """Let all who wait look whether they are canceled."""
        with self._lock:
            opened = [self.turns, vars(self).get("_catalogue"), vars(self).get("_cache")]
        for one in opened:
            if one is not None:
                one.wake()
