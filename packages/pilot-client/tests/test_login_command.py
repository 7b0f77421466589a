"""Commands that only a login shell finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot.submission.login_command import login_command
from plain_place import PlainPlace


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlainPlace:
    """A machine whose user has a profile that puts a tool on the PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "the-tool").write_text('#!/bin/sh\necho "found $*"; cat\n')
    (tools / "the-tool").chmod(0o700)
    (tmp_path / ".profile").write_text(f"PATH={tools}:$PATH\nPROFILE=read\nexport PATH PROFILE\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    return PlainPlace()


def test_a_tool_that_only_a_login_shell_finds(place: PlainPlace) -> None:
    output = place.run(login_command("the-tool", "the-tool 'a  b'"), given=b"input")
    assert (output.code, output.text) == (0, "found a  b\ninput")


def test_a_tool_that_is_found_at_once_needs_no_profile(place: PlainPlace) -> None:
    assert place.run(login_command("cat", 'echo "${PROFILE-unread}"')).text == "unread\n"


def test_a_tool_that_is_nowhere(place: PlainPlace) -> None:
    assert place.run(login_command("no-such-tool", "no-such-tool")).code == 127
