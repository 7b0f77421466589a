"""What the client takes from its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.config import LOG_LEVELS, ClientConfig
from pilot_protocol.errors import DescriptionError

HOME = {"HOME": "/home/ada"}


def test_defaults() -> None:
    config = ClientConfig.from_environment(HOME)
    assert config == ClientConfig(home=Path("/home/ada"), state_home=Path("/home/ada/.local/state"))
    assert config.redis_server is None
    assert config.runtime_dir is None
    assert config.ssh_config is None
    assert config.temporary_dir == Path("/tmp")
    assert config.log_level is None
    assert config.servers_dir == Path("/home/ada/.local/state/pilot/servers")
    assert config.bundles_dir == Path("/home/ada/.cache/pilot/bundles")
    assert config.sites_file == Path("/home/ada/.config/pilot/sites.toml")


def test_the_settings_of_sites_lie_in_the_configuration_folder() -> None:
    config = ClientConfig.from_environment({**HOME, "XDG_CONFIG_HOME": "/config"})
    assert config.sites_file == Path("/config/pilot/sites.toml")


def test_everything_set() -> None:
    config = ClientConfig.from_environment(
        {
            "HOME": "/home/ada",
            "PATH": "/opt/bin:/bin",
            "PILOT_COORDINATION_URL": "redis://host",
            "PILOT_LOG": "debug",
            "PILOT_REDIS_SERVER": "/opt/redis-server",
            "PILOT_SSH_CONFIG": "/etc/ssh/other",
            "TMPDIR": "/scratch",
            "XDG_CACHE_HOME": "/cache",
            "XDG_CONFIG_HOME": "/config",
            "XDG_RUNTIME_DIR": "/run/user/7",
            "XDG_STATE_HOME": "/state",
        }
    )
    assert config == ClientConfig(
        home=Path("/home/ada"),
        state_home=Path("/state"),
        cache_home=Path("/cache"),
        config_home=Path("/config"),
        runtime_dir=Path("/run/user/7"),
        temporary_dir=Path("/scratch"),
        coordination_url="redis://host",
        redis_server="/opt/redis-server",
        search_path="/opt/bin:/bin",
        ssh_config="/etc/ssh/other",
        log_level="DEBUG",
    )


def test_bundles_lie_in_the_cache_folder_that_is_set() -> None:
    config = ClientConfig.from_environment({**HOME, "XDG_CACHE_HOME": "/cache"})
    assert config.bundles_dir == Path("/cache/pilot/bundles")


@pytest.mark.parametrize("name", ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "TMPDIR"])
@pytest.mark.parametrize("value", ["", "relative/path", "."])
def test_directories_that_are_empty_or_relative_count_as_unset(name: str, value: str) -> None:
    assert ClientConfig.from_environment({**HOME, name: value}) == ClientConfig.from_environment(HOME)


@pytest.mark.parametrize("name", ["PILOT_REDIS_SERVER", "PILOT_LOG", "PATH", "PILOT_SSH_CONFIG"])
def test_what_is_empty_counts_as_unset(name: str) -> None:
    assert ClientConfig.from_environment({**HOME, name: ""}) == ClientConfig.from_environment(HOME)


def test_unknown_log_level_is_refused() -> None:
    with pytest.raises(
        DescriptionError, match="PILOT_LOG is 'loud'; allowed: DEBUG, INFO, WARNING, ERROR"
    ) as caught:
        ClientConfig.from_environment({**HOME, "PILOT_LOG": "loud"})
    assert caught.value.key == "PILOT_LOG"


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_every_log_level_is_known_to_logging(level: str) -> None:
    import logging

    assert isinstance(logging.getLevelName(level), int)


def test_the_coordination_url_is_not_shown() -> None:
    config = ClientConfig.from_environment({**HOME, "PILOT_COORDINATION_URL": "redis://:secret@host"})
    assert "secret" not in repr(config)


def test_without_argument_it_reads_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_COORDINATION_URL", "redis://from-the-environment")
    monkeypatch.setenv("PILOT_REDIS_SERVER", "/from/the/environment")
    config = ClientConfig.from_environment()
    assert config.coordination_url == "redis://from-the-environment"
    assert config.redis_server == "/from/the/environment"
