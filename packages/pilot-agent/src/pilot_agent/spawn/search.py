"""Finding the program that a name without a slash means in a unit's PATH."""

from __future__ import annotations

import os

from pilot_agent.spawn.failures import StartError

FOUND_KEPT = 1024
"""Programs that are remembered; more of them are forgotten all at once."""


class ProgramSearch:
    """Looks programs up; remembers what it found, since thousands of units start the same one."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], str] = {}

    def find(self, name: str, path: str) -> str:
        """Return the file to execute for `name`, looking into the folders of `path`, a PATH.

        Folders that are not absolute count from the current working directory and are not remembered.

        Raises:
            StartError: none of them has an executable of that name.
        """
        if "/" in name:
            return name
        found = self._found.get((name, path))
        if found is not None and os.access(found, os.X_OK):
            return found
        folders = path.split(":")
        for folder in folders:
            candidate = os.path.join(folder or ".", name)
            if os.access(candidate, os.X_OK) and os.path.isfile(candidate):
                if all(entry.startswith("/") for entry in folders):
                    self._remember(name, path, candidate)
                return candidate
        raise StartError(f"executable {name!r} not found (looked for it in PATH={path})")

    def _remember(self, name: str, path: str, found: str) -> None:
        if len(self._found) >= FOUND_KEPT:
            self._found.clear()
        self._found[name, path] = found
