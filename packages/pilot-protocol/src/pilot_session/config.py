"""What a session takes from the environment of its process: which server is meant, and where session files lie.

The only module of this package that reads environment variables; the client's settings are read with it. Nothing here
opens a file or makes a directory.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SessionConfig:
    """What the environment says of sessions.

    Attributes:
        home: The user's home directory.
        state_home: ``XDG_STATE_HOME``, by default ``~/.local/state``.
        coordination_url: ``PILOT_COORDINATION_URL``, the Redis server to use when a service is given none; None when unset.
    """

    home: Path
    state_home: Path
    coordination_url: str | None = field(default=None, repr=False)  # may hold a password

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> SessionConfig:
        """Read the settings. A variable that is empty counts as unset.

        Args:
            variables: The environment; by default that of this process.
        """
        given = given_variables(variables)
        home = Path(given["HOME"]) if "HOME" in given else _home_of_this_user()
        return cls(
            home=home,
            state_home=absolute_path(given, "XDG_STATE_HOME") or home / ".local" / "state",
            coordination_url=given.get("PILOT_COORDINATION_URL"),
        )

    @property
    def sessions_dir(self) -> Path:
        """Where the session files lie."""
        return self.state_home / "pilot" / "sessions"


def given_variables(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the variables of an environment, by default that of this process, that are not empty."""
    return {name: value for name, value in (os.environ if variables is None else variables).items() if value}


def absolute_path(given: Mapping[str, str], name: str) -> Path | None:
    """Return a directory; a relative one is ignored, as the XDG base directory specification asks for."""
    path = Path(given.get(name, ""))
    return path if path.is_absolute() else None


def _home_of_this_user() -> Path:
    return Path(pwd.getpwuid(os.getuid()).pw_dir)
