"""What a session takes from the environment of its process."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from pilot_session.config import SessionConfig

HOME = {"HOME": "/home/ada"}


def test_defaults() -> None:
    config = SessionConfig.from_environment(HOME)
    assert config == SessionConfig(home=Path("/home/ada"), state_home=Path("/home/ada/.local/state"))
    assert config.coordination_url is None
    assert config.sessions_dir == Path("/home/ada/.local/state/pilot/sessions")


def test_everything_set() -> None:
    variables = {**HOME, "PILOT_COORDINATION_URL": "redis://host", "XDG_STATE_HOME": "/state"}
    config = SessionConfig.from_environment(variables)
    assert config == SessionConfig(Path("/home/ada"), Path("/state"), "redis://host")
    assert config.sessions_dir == Path("/state/pilot/sessions")


@pytest.mark.parametrize("value", ["", "relative/path", "."])
def test_a_state_folder_that_is_empty_or_relative_counts_as_unset(value: str) -> None:
    variables = {**HOME, "XDG_STATE_HOME": value}
    assert SessionConfig.from_environment(variables) == SessionConfig.from_environment(HOME)


def test_a_url_that_is_empty_counts_as_unset() -> None:
    variables = {**HOME, "PILOT_COORDINATION_URL": ""}
    assert SessionConfig.from_environment(variables) == SessionConfig.from_environment(HOME)


@pytest.mark.parametrize("variables", [{}, {"HOME": ""}])
def test_without_home_the_password_file_knows_it(variables: dict[str, str]) -> None:
    assert SessionConfig.from_environment(variables).home == Path(pwd.getpwuid(os.getuid()).pw_dir)


def test_the_coordination_url_is_not_shown() -> None:
    config = SessionConfig.from_environment({**HOME, "PILOT_COORDINATION_URL": "redis://:secret@host"})
    assert "secret" not in repr(config)


def test_without_argument_it_reads_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILOT_COORDINATION_URL", "redis://from-the-environment")
    assert SessionConfig.from_environment().coordination_url == "redis://from-the-environment"
