"""The settings that pilot-data takes from its environment; the only module of it that reads environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class DataConfig:
    """What the environment says.

    Attributes:
        home: The user's home directory.
        ssh_config: ``PILOT_SSH_CONFIG``, a configuration file of OpenSSH to be read instead of the user's and the
            system's; empty when unset.
    """

    home: str
    ssh_config: str = ""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> DataConfig:
        """Read the settings. A variable that is empty counts as unset.

        Args:
            variables: The environment; by default that of this process.
        """
        given = os.environ if variables is None else variables
        return cls(
            home=given.get("HOME") or os.path.expanduser("~"), ssh_config=given.get("PILOT_SSH_CONFIG", "")
        )
