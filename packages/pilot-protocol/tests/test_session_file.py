"""Session files: whole, private, and clear about what is wrong."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pilot_protocol.errors import CoordinationError, DescriptionError
from pilot_session.session_file import KEEP_S, EmbeddedServer, SessionFile, SessionFiles

SESSION = "s-abcdefghijklmnop"
OTHER = "s-ponmlkjihgfedcba"
FILE = SessionFile(SESSION, "redis://:s3cret@h:6379/0", "0f" * 32, 1_700_000_000.5)


@pytest.fixture
def files(tmp_path: Path) -> SessionFiles:
    return SessionFiles(tmp_path / "state" / "pilot" / "sessions")


@pytest.mark.parametrize("embedded", [None, EmbeddedServer("/run/x", stay=True), EmbeddedServer("/run/y")])
def test_what_is_saved_is_loaded(files: SessionFiles, embedded: EmbeddedServer | None) -> None:
    file = SessionFile(SESSION, "redis://:s3cret@h:6379/0", "0f" * 32, 1_700_000_000.5, embedded)
    path = files.save(file)
    assert path == files.path(SESSION) == files.directory / f"{SESSION}.json"
    assert files.load(SESSION) == file


def test_the_keys_in_the_file(files: SessionFiles) -> None:
    record = json.loads(files.save(FILE).read_bytes())
    assert sorted(record) == ["coordination_url", "created", "embedded", "key", "session"]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_can_read(files: SessionFiles, umask: int) -> None:
    before = os.umask(umask)
    try:
        path = files.save(FILE)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_saving_again_replaces_and_leaves_nothing_else(files: SessionFiles) -> None:
    files.save(FILE)
    newer = SessionFile(SESSION, "redis://elsewhere:6379/0", "aa" * 32, 2.0)
    files.save(newer)
    assert files.load(SESSION) == newer
    assert os.listdir(files.directory) == [f"{SESSION}.json"]


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(FILE)
    assert "0f0f" not in repr(FILE)


def test_missing_file(files: SessionFiles) -> None:
    with pytest.raises(CoordinationError, match="copy it from the machine that made the session") as caught:
        files.load(SESSION)
    assert str(files.path(SESSION)) in str(caught.value)
    assert not caught.value.transient


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_file_open_to_others_is_refused(files: SessionFiles, mode: int) -> None:
    path = files.save(FILE)
    path.chmod(mode)
    with pytest.raises(CoordinationError, match=f"mode {mode:04o}.*chmod 600 {path}"):
        files.load(SESSION)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(files: SessionFiles) -> None:
    path = files.save(FILE)
    os.chown(path, 12345, -1)
    with pytest.raises(CoordinationError, match=r"belongs to user number 12345, not to you \(0\)"):
        files.load(SESSION)


def test_a_directory_open_to_others_is_refused(files: SessionFiles) -> None:
    files.save(FILE)
    files.directory.chmod(0o750)
    with pytest.raises(CoordinationError, match=f"mode 0750.*chmod 700 {files.directory}"):
        files.save(FILE)


def test_links_and_pipes_are_refused(files: SessionFiles) -> None:
    files.save(FILE).rename(files.directory / "elsewhere")
    files.path(SESSION).symlink_to(files.directory / "elsewhere")
    with pytest.raises(CoordinationError, match="cannot be read"):
        files.load(SESSION)
    files.path(SESSION).unlink()
    os.mkfifo(files.path(SESSION), 0o600)
    with pytest.raises(CoordinationError, match="no plain file"):
        files.load(SESSION)


GOOD = {
    "session": SESSION,
    "coordination_url": "redis://h",
    "key": "00" * 32,
    "created": 1.0,
    "embedded": None,
}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        json.dumps({**GOOD, "key": "short"}).encode(),
        json.dumps({**GOOD, "key": 7}).encode(),
        json.dumps({**GOOD, "created": "yesterday"}).encode(),
        json.dumps({**GOOD, "session": OTHER}).encode(),
        json.dumps({**GOOD, "embedded": {"stay": True}}).encode(),
        json.dumps({**GOOD, "embedded": 3}).encode(),
    ],
)
def test_a_damaged_file_is_refused(files: SessionFiles, data: bytes) -> None:
    files.save(FILE).write_bytes(data)
    with pytest.raises(CoordinationError, match="is damaged or belongs to another session"):
        files.load(SESSION)


def test_what_a_later_version_adds_is_ignored(files: SessionFiles) -> None:
    files.save(FILE).write_text(json.dumps({**GOOD, "colour": "blue"}))
    assert files.load(SESSION).coordination_url == "redis://h"


@pytest.mark.parametrize(
    "session", ["", "s-1", "../../etc/passwd", f"{SESSION}/x", f"{SESSION}\n", "S-ABCDEFGHIJKLMNOP"]
)
def test_what_is_no_session_id_is_no_path(files: SessionFiles, session: str) -> None:
    for call in (files.path, files.load, files.delete):
        with pytest.raises(DescriptionError, match="is no session id"):
            call(session)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(DescriptionError, match="64 hexadecimal digits") as caught:
        SessionFile(SESSION, "redis://h", "abc", 0.0)
    assert "abc'" not in str(caught.value)


def test_list_and_delete(files: SessionFiles) -> None:
    assert files.list_sessions() == []
    for session in (OTHER, SESSION):
        files.save(SessionFile(session, "redis://h", "00" * 32, 0.0))
    (files.directory / "notes.json").touch()
    assert files.list_sessions() == [SESSION, OTHER]
    files.delete(OTHER)
    files.delete(OTHER)
    assert files.list_sessions() == [SESSION]


def test_prune_deletes_what_was_not_used_for_a_month(files: SessionFiles) -> None:
    now = 1_800_000_000.0
    for session, age in ((SESSION, KEEP_S + 60), (OTHER, KEEP_S - 60)):
        path = files.save(SessionFile(session, "redis://h", "00" * 32, 0.0))
        os.utime(path, (now - age, now - age))
    assert files.prune(now) == [SESSION]
    assert files.list_sessions() == [OTHER]
    assert files.prune(now) == []


def test_prune_spares_what_was_read(files: SessionFiles) -> None:
    now = 1_800_000_000.0
    os.utime(files.save(FILE), (now - 60, now - KEEP_S - 60))
    assert files.prune(now) == []


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(CoordinationError, match="cannot be made: Not a directory"):
        SessionFiles(tmp_path / "state" / "pilot").save(FILE)


def test_a_file_that_another_process_deletes_meanwhile_is_no_trouble(tmp_path: Path) -> None:
    files = SessionFiles(tmp_path / "sessions")
    files.directory.mkdir()
    (files.directory / f"s-{'a' * 16}.json").symlink_to("gone")
    assert files.prune(0.0) == []
