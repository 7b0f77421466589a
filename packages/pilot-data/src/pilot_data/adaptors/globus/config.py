"""What a user sets for Globus: environment variables, and where this machine keeps logins. Reads them when asked."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from pilot_protocol.errors import DescriptionError

LOCAL_COLLECTION = "PILOT_GLOBUS_LOCAL_COLLECTION"
"""Id of the collection that shows this machine's files."""

LOCAL_ROOT = "PILOT_GLOBUS_LOCAL_ROOT"
"""The local folder that this collection shows as ``/``; ``/`` by default, as Globus Connect Personal does."""

CLIENT_ID = "PILOT_GLOBUS_CLIENT_ID"
"""Id of the application that asks for logins, as registered with Globus."""

CLIENT_SECRET = "PILOT_GLOBUS_CLIENT_SECRET"  # noqa: S105 - the name of the variable
"""Secret of an application that acts for itself; unset where a person logs in."""

_PROFILE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Settings:
    """The environment's variables.

    Attributes:
        local_collection: Id; empty when there is none.
        local_root: Absolute path of a local folder.
        client_id: Empty when none is set.
        client_secret: Empty when none is set; not shown.
        state_folder: Where logins are kept.
        config_folder: Where users put credentials of applications.
    """

    local_collection: str
    local_root: str
    client_id: str
    client_secret: str = field(repr=False)
    state_folder: str
    config_folder: str


def settings() -> Settings:
    """Read the environment, and Globus Connect Personal's file for the id of its collection."""
    found = os.environ.get
    home = os.path.expanduser("~")
    return Settings(
        local_collection=found(LOCAL_COLLECTION) or _of_connect_personal(home),
        local_root=os.path.realpath(found(LOCAL_ROOT) or "/"),
        client_id=found(CLIENT_ID, ""),
        client_secret=found(CLIENT_SECRET, ""),
        state_folder=f"{found('XDG_STATE_HOME') or f'{home}/.local/state'}/pilot/globus",
        config_folder=f"{found('XDG_CONFIG_HOME') or f'{home}/.config'}/pilot/globus",
    )


def file_of(folder: str, profile: str) -> str:
    """Return the path of a profile's file.

    Args:
        folder: One of the settings' folders.
        profile: Its name; empty for ``default``.

    Raises:
        DescriptionError: The name is none that a file could safely have.
    """
    if profile and not _PROFILE.fullmatch(profile):
        raise DescriptionError(
            f"the Globus profile {profile!r} is no name; letters, digits, '.', '_' and '-' are allowed",
            key="profile",
            value=profile,
        )
    return f"{folder}/{profile or 'default'}.json"


def _of_connect_personal(home: str) -> str:
    try:
        return Path(home, ".globusonline/lta/client-id.txt").read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
