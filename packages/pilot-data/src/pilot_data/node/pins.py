"""Which data units in the cache are in use: a file for each compute unit that has some, so that a new mover knows, too."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import quote

PINS = ".pins"
"""Name of their folder in that of the cache."""


def forget_pins(cache: str) -> None:
    """Let go of everything that is in use by the cache in this folder; there may be none."""
    with suppress(FileNotFoundError):
        shutil.rmtree(f"{cache}/{PINS}")


class Pins:
    """The pins of compute units.

    Args:
        folder: Absolute; made if there is none.
    """

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)
        self._folder = folder

    def put(self, unit: str, attempt: int, data_units: Sequence[str]) -> None:
        """Note what an attempt uses, in place of what earlier ones did."""
        path = self._path(unit)
        with open(f"{path}~", "w") as writing:
            json.dump([attempt, list(data_units)], writing)
        os.rename(f"{path}~", path)

    def remove(self, unit: str, attempt: int) -> None:
        """Forget what an attempt used; what a later one does stays."""
        with suppress(FileNotFoundError):
            path = self._path(unit)
            if _read(path)[0] <= attempt:
                os.unlink(path)

    def data_units(self) -> set[str]:
        """Return all that are in use."""
        found: set[str] = set()
        for name in os.listdir(self._folder):
            with suppress(FileNotFoundError):  # released meanwhile
                found.update([] if name.endswith("~") else _read(f"{self._folder}/{name}")[1])
        return found

    def _path(self, unit: str) -> str:
        return f"{self._folder}/{quote(unit, safe='')}"


def _read(path: str) -> tuple[int, list[str]]:
    with open(path) as reading:
        attempt, data_units = json.load(reading)
    return attempt, data_units
