"""Where this agent was imported from, and how its processes start from there again."""

from __future__ import annotations

import os
import sys

import pilot_agent


def import_root() -> str:
    """Return the folder, or the zip file, that holds the package."""
    return os.path.dirname(os.path.dirname(os.path.abspath(pilot_agent.__file__)))


def agent_command() -> list[str]:
    """Return the command line that starts an agent of this very version.

    A zip file is a program by itself, and isolated (`-I`): nothing of the user's PYTHONPATH or site packages reaches into it.
    What it starts runs from one with byte code, where there can be one.
    """
    root = import_root()
    if not os.path.isfile(root):
        return _command(root)
    from .compiled import compiled  # noqa: PLC0415 - of no use to what is installed, nor to executors

    return _command(compiled(root))


def agent_command_elsewhere() -> list[str]:
    """Return the command line that starts this very agent on another machine.

    A bare login there may lack what this Python was found to need: its libraries.
    """
    libraries = os.environ.get("LD_LIBRARY_PATH")
    return [*(["env", f"LD_LIBRARY_PATH={libraries}"] if libraries else []), *_command(import_root())]


def _command(root: str) -> list[str]:
    return [sys.executable, "-I", root] if os.path.isfile(root) else [sys.executable, "-m", "pilot_agent"]
