"""The collection that shows this machine's files, through which they come and go."""

from __future__ import annotations

import os
from dataclasses import dataclass

from pilot_data.errors import LoginError, TransferError

from .config import LOCAL_COLLECTION, LOCAL_ROOT, Settings


@dataclass(frozen=True)
class LocalCollection:
    """A collection and the folder that it shows.

    Attributes:
        id: Of the collection.
        root: The local folder that is ``/`` there; links in its path are followed already.
    """

    id: str
    root: str

    def path_of(self, path: str) -> str:
        """Return what a local path is called in the collection.

        Args:
            path: Absolute; need not exist.

        Raises:
            TransferError: The collection does not show it.
        """
        folder, name = os.path.split(path)
        real = f"{os.path.realpath(folder).rstrip('/')}/{name}"
        if self.root == "/":
            return real
        if not real.startswith(f"{self.root}/"):
            raise TransferError(
                f"the local collection {self.id} shows {self.root} only, and {path} is elsewhere; move the files "
                f"there, or set {LOCAL_ROOT} to what the collection really shows"
            )
        return real[len(self.root) :]

    def shows(self, folder: str) -> bool:
        """Return whether a local folder is below the collection's."""
        return self.root == "/" or f"{os.path.realpath(folder)}/".startswith(f"{self.root}/")


def local_collection(settings: Settings) -> LocalCollection:
    """Return this machine's collection.

    Raises:
        LoginError: None is set, so that no file can come from or go to this machine.
    """
    if not settings.local_collection:
        raise LoginError(
            "Globus moves files between collections only, and this machine has none: start Globus Connect Personal "
            f"here, or set {LOCAL_COLLECTION} to the id of a collection that shows this machine's files, and "
            f"{LOCAL_ROOT} to the local folder that it shows as /"
        )
    return LocalCollection(settings.local_collection, settings.local_root)
