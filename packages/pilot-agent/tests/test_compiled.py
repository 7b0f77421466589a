"""The agent's zip file with byte code in it: made once, whole, for one archive and one Python, by whoever comes first."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from pilot_agent.compiled import compiled

FAULTY = "def fail():\n    raise ValueError('the source is shown')\n"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A zip file with a module of each kind, in a folder of its own."""
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    write(folder / "agent.pyz", "print('ran')\n")
    return folder / "agent.pyz"


def write(path: Path, main: str) -> None:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("__main__.py", main)
        out.writestr("faulty/__init__.py", FAULTY)
        out.writestr("faulty/script.lua", "return 1")
        out.writestr("data/newer.py", "a later Python's syntax")


def run(path: str, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", *more, path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def names(archive: Path) -> set[str]:
    return set(os.listdir(archive.parent))


def test_it_holds_the_archive_and_its_byte_code(archive: Path) -> None:
    path = compiled(str(archive))
    assert path == f"{archive}.{sys.implementation.cache_tag}"
    assert os.stat(path).st_mode & 0o777 == 0o600
    with zipfile.ZipFile(archive) as before, zipfile.ZipFile(path) as made:
        kept = {name: before.read(name) for name in before.namelist()}
        code = {"__main__.pyc", "faulty/__init__.pyc"}
        assert {name: made.read(name) for name in made.namelist() if name not in code} == kept
        assert {made.read(name)[:4] for name in code} == {importlib.util.MAGIC_NUMBER}
        assert made.testzip() is None
    assert run(path).stdout == "ran\n"


@pytest.mark.parametrize("checks", ["always", "default", "never"])
def test_its_byte_code_is_what_runs(archive: Path, checks: str) -> None:
    path = compiled(str(archive))
    tried = run(path, "-vv", "--check-hash-based-pycs", checks).stderr.splitlines()
    assert f"# trying {path}/__main__.pyc" in tried
    assert f"# trying {path}/__main__.py" not in tried


def test_tracebacks_show_the_source(archive: Path) -> None:
    write(
        archive,
        "import faulty, traceback\ntry:\n    faulty.fail()\nexcept ValueError:\n    traceback.print_exc()\n",
    )
    said = run(compiled(str(archive))).stderr
    assert f'File "{archive}/faulty/__init__.py", line 2, in fail' in said
    assert "raise ValueError('the source is shown')" in said


def test_it_is_made_once(archive: Path) -> None:
    before = os.stat(compiled(str(archive)))
    after = os.stat(compiled(str(archive)))
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_many_that_come_at_once_leave_one_file(archive: Path) -> None:
    with ProcessPoolExecutor(4, get_context("spawn")) as pool:
        (path,) = set(pool.map(compiled, [str(archive)] * 8))
    assert run(path).stdout == "ran\n"
    assert names(archive) == {archive.name, os.path.basename(path)}


@pytest.mark.parametrize("damage", [b"", b"PK", None])
def test_a_damaged_one_is_made_anew(archive: Path, damage: bytes | None) -> None:
    path = Path(compiled(str(archive)))
    right = path.read_bytes()
    damaged = damage if damage is not None else right[:500] + b"x" + right[501:]
    path.write_bytes(damaged)
    assert compiled(str(archive)) == str(path)
    made_anew = path.read_bytes()
    assert made_anew != damaged
    assert compiled(str(archive)) == str(path)
    assert path.read_bytes() == made_anew  # it is whole


def test_another_archive_under_the_name_is_what_runs(archive: Path) -> None:
    compiled(str(archive))
    write(archive, "print('newer')\n")
    assert run(compiled(str(archive))).stdout == "newer\n"


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_can_write_to_gets_none(archive: Path, mode: int) -> None:
    planted = Path(compiled(str(archive)))
    archive.parent.chmod(mode)
    assert compiled(str(archive)) == str(archive)
    planted.unlink()
    assert compiled(str(archive)) == str(archive)
    assert names(archive) == {archive.name}


@pytest.mark.parametrize("call", ["open", "fsync", "link"])
def test_where_it_cannot_be_kept_the_archive_runs(
    archive: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, refuse)
    assert compiled(str(archive)) == str(archive)
    assert names(archive) == {archive.name}
