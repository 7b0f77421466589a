"""How the mover is started: from the same place as the agent, by the same Python."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from typing import NamedTuple

from pilot_protocol.errors import SubmissionError

from .import_root import import_root

_MODULE = "pilot_data.node"
_DATA = "data"
"""Folder of an agent in one file that holds what only the mover needs, a whole redis-py among it."""
_LEAST_PYTHON = (3, 10)


class MoverPlace(NamedTuple):
    """A command line, and the environment that it needs."""

    command: list[str]
    environment: dict[str, str]


def mover_place(environment: Mapping[str, str], root: str = "", path: list[str] | None = None) -> MoverPlace:
    """Return how the mover is started.

    Args:
        environment: What it inherits.
        root: Where the agent was imported from; by default where this one was.
        path: Where modules are looked for beside that; by default where this process does.

    Raises:
        SubmissionError: There is none here; the message says what to install.
    """
    root = root or import_root()
    own = [os.path.join(root, _DATA), root] if os.path.isfile(root) else []
    if PathFinder.find_spec(_MODULE.partition(".")[0], [*own, *(sys.path if path is None else path)]) is None:
        raise SubmissionError(
            f"the pilot cannot move files: pilot-data is not there for {sys.executable}; install it where the pilot runs, or "
            "beside pilot-client, which sends it along"
        )
    if sys.version_info[:2] < _LEAST_PYTHON:
        raise SubmissionError(
            f"the pilot cannot move files: that needs Python 3.10 or newer, and {sys.executable} is older; name another one by "
            "the pilot's key python"
        )
    known = environment.get("PYTHONPATH")
    found = {"PYTHONPATH": os.pathsep.join([*own, *([known] if known else [])])} if own else {}
    return MoverPlace([sys.executable, "-m", _MODULE], {**environment, **found})
