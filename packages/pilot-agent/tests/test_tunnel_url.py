"""Coordination URLs at the near end of a tunnel, and the folder of its socket."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilot_agent.tunnel import make_folder
from pilot_agent.tunnel_url import url_at_address, url_at_socket
from pilot_protocol.errors import CoordinationError, DescriptionError


@pytest.mark.parametrize(
    ("url", "at_socket", "at_address"),
    [
        ("redis://db", "unix:///s/r.sock", "redis://127.0.0.1:6379/"),
        ("redis://db:6380/3", "unix:///s/r.sock?db=3", "redis://127.0.0.1:6379/3"),
        ("redis://db?db=4", "unix:///s/r.sock?db=4", "redis://127.0.0.1:6379/4"),
        (
            "redis://me:p%40ss%2F@db/1",
            "unix://me:p%40ss%2F@/s/r.sock?db=1",
            "redis://me:p%40ss%2F@127.0.0.1:6379/1",
        ),
        ("redis://:pw@[::1]:6380", "unix://:pw@/s/r.sock", "redis://:pw@127.0.0.1:6379/"),
        ("unix://:pw@/run/x.sock?db=2", "unix://:pw@/s/r.sock?db=2", "redis://:pw@127.0.0.1:6379/2"),
    ],
)
def test_user_password_and_database_stay(url: str, at_socket: str, at_address: str) -> None:
    assert url_at_socket(url, "/s/r.sock") == at_socket
    assert url_at_address(url, "127.0.0.1:6379") == at_address


def test_tls_ends_elsewhere() -> None:
    with pytest.raises(DescriptionError, match="no tunnel leads to a rediss:// coordination URL") as caught:
        url_at_socket("rediss://:secret@db", "/s")
    assert "secret" not in str(caught.value)


def test_the_folder_of_the_socket_is_ours_alone_and_found_again(tmp_path: Path) -> None:
    folder = make_folder("p-a", [str(tmp_path)])
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert make_folder("p-a", [str(tmp_path)]) == folder


def test_a_folder_that_somebody_else_has_laid_out_is_passed_over(tmp_path: Path) -> None:
    (taken, free) = (tmp_path / name for name in ("taken", "free"))
    taken.mkdir()
    free.mkdir()
    (taken / f"pilot-{os.geteuid()}-p-a").symlink_to(free)
    assert make_folder("p-a", [str(taken), str(free)]).startswith(str(free))
    with pytest.raises(CoordinationError, match=r"is not ours alone; .*: No such file or directory"):
        make_folder("p-a", [str(taken), str(tmp_path / "none")])
