"""The settings that the client takes from its environment.

The only module of the client that reads environment variables. Everything else receives a `ClientConfig`; nothing here
opens a file or makes a directory.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pilot_protocol.errors import DescriptionError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
"""What ``PILOT_LOG`` may say."""


@dataclass(frozen=True)
class ClientConfig:
    """What the environment says.

    Attributes:
        coordination_url: ``PILOT_COORDINATION_URL``, the Redis server to use when a service is given none; None when unset.
        redis_server: ``PILOT_REDIS_SERVER``, path or name of the program for an embedded server; None when unset.
        home: The user's home directory.
        state_home: ``XDG_STATE_HOME``, by default ``~/.local/state``.
        cache_home: ``XDG_CACHE_HOME``; None when unset. What lies there can be made again.
        config_home: ``XDG_CONFIG_HOME``; None when unset, which means ``~/.config``.
        runtime_dir: ``XDG_RUNTIME_DIR``; None when unset. It lies in memory and ends with the login session.
        temporary_dir: ``TMPDIR``, by default ``/tmp``.
        search_path: ``PATH``; None when unset.
        ssh_config: ``PILOT_SSH_CONFIG``, a configuration file that OpenSSH is to read instead of the user's; None when unset.
        log_level: ``PILOT_LOG``, one of `LOG_LEVELS`; None when unset.
    """

    home: Path
    state_home: Path
    cache_home: Path | None = None
    config_home: Path | None = None
    runtime_dir: Path | None = None
    temporary_dir: Path = Path("/tmp")  # noqa: S108 - the directory of directories; ours are made 0700 below it
    coordination_url: str | None = field(default=None, repr=False)  # may hold a password
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
        given = {
            name: value for name, value in (os.environ if variables is None else variables).items() if value
        }
        home = Path(given["HOME"]) if "HOME" in given else _home_of_this_user()
        return cls(
            home=home,
            state_home=_absolute(given, "XDG_STATE_HOME") or home / ".local" / "state",
            cache_home=_absolute(given, "XDG_CACHE_HOME"),
            config_home=_absolute(given, "XDG_CONFIG_HOME"),
            runtime_dir=_absolute(given, "XDG_RUNTIME_DIR"),
            temporary_dir=_absolute(given, "TMPDIR") or cls.temporary_dir,
            coordination_url=given.get("PILOT_COORDINATION_URL"),
            redis_server=given.get("PILOT_REDIS_SERVER"),
            search_path=given.get("PATH"),
            ssh_config=given.get("PILOT_SSH_CONFIG"),
            log_level=_log_level(given.get("PILOT_LOG")),
        )

    @property
    def sessions_dir(self) -> Path:
        """Where the session files lie."""
        return self.state_home / "pilot" / "sessions"

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


def _absolute(given: Mapping[str, str], name: str) -> Path | None:
    """Return a directory; a relative one is ignored, as the XDG base directory specification asks for."""
    path = Path(given.get(name, ""))
    return path if path.is_absolute() else None


def _home_of_this_user() -> Path:
    import pwd  # only needed where HOME is unset

    return Path(pwd.getpwuid(os.getuid()).pw_dir)


def _log_level(value: str | None) -> str | None:
    if value is None:
        return None
    level = value.upper()
    if level not in LOG_LEVELS:
        raise DescriptionError(
            f"PILOT_LOG is {value!r}; allowed: {', '.join(LOG_LEVELS)}", key="PILOT_LOG", value=value
        )
    return level
