"""The settings that the client takes from its environment: what a session needs, and the client's own.

The only module of the client that reads environment variables. Everything else receives a `ClientConfig`; nothing here
opens a file or makes a directory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pilot_protocol.errors import DescriptionError
from pilot_session.config import SessionConfig, absolute_path, given_variables

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
"""What ``PILOT_LOG`` may say."""


@dataclass(frozen=True)
class ClientConfig(SessionConfig):
    """What the environment says, beyond what it says of sessions.

    Attributes:
        redis_server: ``PILOT_REDIS_SERVER``, path or name of the program for an embedded server; None when unset.
        cache_home: ``XDG_CACHE_HOME``; None when unset. What lies there can be made again.
        config_home: ``XDG_CONFIG_HOME``; None when unset, which means ``~/.config``.
        runtime_dir: ``XDG_RUNTIME_DIR``; None when unset. It lies in memory and ends with the login session.
        temporary_dir: ``TMPDIR``, by default ``/tmp``.
        search_path: ``PATH``; None when unset.
        ssh_config: ``PILOT_SSH_CONFIG``, a configuration file that OpenSSH is to read instead of the user's; None when unset.
        log_level: ``PILOT_LOG``, one of `LOG_LEVELS`; None when unset.
    """

    cache_home: Path | None = None
    config_home: Path | None = None
    runtime_dir: Path | None = None
    temporary_dir: Path = Path("/tmp")  # noqa: S108 - the directory of directories; ours are made 0700 below it
    redis_server: str | None = None
    search_path: str | None = None
    ssh_config: str | None = None
    log_level: str | None = None

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> ClientConfig:
        """Read the settings. A variable that is empty counts as unset.

        Args:
            variables: The environment; by default that of this process.

        Raises:
            DescriptionError: ``PILOT_LOG`` names no log level.
        """
        given = given_variables(variables)
        session = SessionConfig.from_environment(given)
        return cls(
            home=session.home,
            state_home=session.state_home,
            coordination_url=session.coordination_url,
            cache_home=absolute_path(given, "XDG_CACHE_HOME"),
            config_home=absolute_path(given, "XDG_CONFIG_HOME"),
            runtime_dir=absolute_path(given, "XDG_RUNTIME_DIR"),
            temporary_dir=absolute_path(given, "TMPDIR") or cls.temporary_dir,
            redis_server=given.get("PILOT_REDIS_SERVER"),
            search_path=given.get("PATH"),
            ssh_config=given.get("PILOT_SSH_CONFIG"),
            log_level=_log_level(given.get("PILOT_LOG")),
        )

    @property
    def sites_file(self) -> Path:
        """Where the user keeps the settings of sites."""
        return (self.config_home or self.home / ".config") / "pilot" / "sites.toml"

    @property
    def servers_dir(self) -> Path:
        """Where embedded servers that stay keep their data."""
        return self.state_home / "pilot" / "servers"

    @property
    def bundles_dir(self) -> Path:
        """Where agent bundles are kept: below the user's cache folder, by default ``~/.cache``."""
        return (self.cache_home or self.home / ".cache") / "pilot" / "bundles"


def _log_level(value: str | None) -> str | None:
    if value is None:
        return None
    level = value.upper()
    if level not in LOG_LEVELS:
        raise DescriptionError(
            f"PILOT_LOG is {value!r}; allowed: {', '.join(LOG_LEVELS)}", key="PILOT_LOG", value=value
        )
    return level
