"""The agent in one file: what is in it, that it is the same for the same content, and that every Python runs it."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
import sys
import threading
import time
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from local_redis import LocalRedis
from pilot import agent_bundle
from pilot.agent_bundle import Bundle, build
from pilot_protocol.errors import SubmissionError

FOUND = sorted(Path("~/.pyenv/versions").expanduser().glob("[23].*/bin/python"))


def version_of(python: Path) -> tuple[int, ...]:
    return tuple(map(int, python.parent.parent.name.split(".")[:2]))


NEW_ENOUGH = [path for path in FOUND if version_of(path) >= (3, 9)]
TOO_OLD = [path for path in FOUND if version_of(path) < (3, 9)]

CONNECT = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
import redis
from pilot_agent.redis_link import RedisLink

async def main():
    link = RedisLink(sys.argv[2], 10.0)
    await link.connect()
    print(link.boot, redis.__file__)
    await link.close()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build(tmp_path_factory.mktemp("cache") / "bundles")


def names_in(bundle: Bundle) -> set[str]:
    with zipfile.ZipFile(bundle.path) as archive:
        return set(archive.namelist())


def test_it_is_named_after_its_version_and_content(bundle: Bundle) -> None:
    data = bundle.path.read_bytes()
    assert bundle.digest == hashlib.sha256(data).hexdigest()
    assert bundle.version == metadata.version("pilot-agent")
    assert bundle.path.name == bundle.name == f"agent-{bundle.version}-{bundle.digest[:12]}.pyz"
    assert data.startswith(b"#!/usr/bin/env python3\n")


def test_it_is_its_owners_alone(bundle: Bundle) -> None:
    assert stat.S_IMODE(bundle.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(bundle.path.parent.stat().st_mode) == 0o700


def test_it_holds_what_the_agent_needs_and_no_more(bundle: Bundle) -> None:
    names = names_in(bundle)
    assert {
        "__main__.py",
        "pilot_agent/cli.py",
        "pilot_agent/node/executor.py",
        "pilot_protocol/lua/claim_units.lua",
        "pilot_protocol/lua/prelude/units.lua",
        "redis/asyncio/connection.py",
        "async_timeout/__init__.py",
    } <= names
    assert not [
        name
        for name in names
        if re.search(r"\.pyc$|/tests?/|testing|^redis/(commands|cluster)|^pilot_(session|data)/|/cli/", name)
    ]


def test_it_holds_what_moves_files_apart_from_what_the_agent_imports(bundle: Bundle) -> None:
    names = names_in(bundle)
    assert {
        "data/pilot_data/__init__.py",
        "data/pilot_session/redis_link.py",
        "data/redis/client.py",
    } <= names
    program = (
        "import pilot_data, pilot_session.redis_link as link, redis; print(pilot_data.__file__, redis.Redis)"
    )
    path = f"{bundle.path}/data{os.pathsep}{bundle.path}"
    said = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.startswith(f"{bundle.path}/data/pilot_data/__init__.py <class 'redis.client.Redis'>")


def test_without_pilot_data_the_agent_travels_alone(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_bundle, "_found", lambda _name: None)
    alone = names_in(build(tmp_path / "alone"))
    assert alone == {name for name in names_in(bundle) if not re.match("data/|pilot_data-", name)}


@pytest.mark.parametrize(
    ("package", "terms"), [("redis", b"Permission is hereby granted"), ("async_timeout", b"Apache License")]
)
def test_it_carries_the_licences_of_others(bundle: Bundle, package: str, terms: bytes) -> None:
    licence = re.compile(rf"{package}-[0-9.]+\.dist-info/licenses/LICENSE")
    (name,) = filter(licence.fullmatch, names_in(bundle))
    with zipfile.ZipFile(bundle.path) as archive:
        assert terms in archive.read(name)


def test_the_same_content_makes_the_same_bytes(bundle: Bundle, tmp_path: Path) -> None:
    again = build(tmp_path / "elsewhere")
    assert again.path.read_bytes() == bundle.path.read_bytes()


def test_the_least_python_is_what_all_that_is_carried_runs_on(bundle: Bundle) -> None:
    assert bundle.least_python == (3, 9)
    assert metadata.metadata("pilot-agent")["Requires-Python"] == ">=3.9"


def test_building_imports_neither_agent_nor_redis(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pilot.agent_bundle import build; build(Path(sys.argv[1]));"
        "print([name for name in ('redis', 'pilot_agent', 'async_timeout') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, tmp_path / "b"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_what_was_edited_makes_another_file(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "async_timeout"
    package.mkdir()
    (package / "__init__.py").write_text("edited = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    # redis-py imports it on older Pythons; a package that is loaded is looked for where it came from.
    monkeypatch.delitem(sys.modules, "async_timeout", raising=False)
    edited = build(bundle.path.parent)
    assert edited.path != bundle.path
    assert edited.path.is_file()
    assert bundle.path.is_file()


def test_a_file_that_was_spoilt_is_made_again(tmp_path: Path) -> None:
    bundle = build(tmp_path / "b")
    whole = bundle.path.read_bytes()
    bundle.path.write_bytes(whole[:1000])
    assert build(tmp_path / "b") == bundle
    assert bundle.path.read_bytes() == whole


def test_a_file_that_is_there_stays_and_counts_as_used(tmp_path: Path) -> None:
    bundle = build(tmp_path / "b")
    os.utime(bundle.path, (1, 1))
    before = bundle.path.stat()
    build(tmp_path / "b")
    assert bundle.path.stat().st_ino == before.st_ino
    assert bundle.path.stat().st_mtime > before.st_mtime


def test_old_files_are_removed_when_a_new_one_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    folder.mkdir(mode=0o700)
    old, young = folder / "agent-0.0.1-000000000000.pyz", folder / "agent-0.0.2-000000000000.pyz"
    old.write_text("")
    young.write_text("")
    long_ago = time.time() - (agent_bundle.UNUSED_DAYS + 1) * 86_400
    os.utime(old, (long_ago, long_ago))
    bundle = build(folder)
    assert set(folder.iterdir()) == {young, bundle.path}


def test_several_at_once_do_no_harm(tmp_path: Path) -> None:
    built: list[Bundle] = []
    threads = [threading.Thread(target=lambda: built.append(build(tmp_path / "b"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 8
    assert len(set(built)) == 1
    assert list((tmp_path / "b").iterdir()) == [built[0].path]
    assert hashlib.sha256(built[0].path.read_bytes()).hexdigest() == built[0].digest


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SubmissionError, match=r"cannot be kept: .*set XDG_CACHE_HOME"):
        build(tmp_path / "file" / "b")


def test_a_package_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(agent_bundle._CARRIED, "no-such-package", "no_such_package")
    with pytest.raises(SubmissionError, match="no-such-package is not installed here"):
        build(tmp_path)
    monkeypatch.undo()
    monkeypatch.setitem(agent_bundle._CARRIED, "redis", "no_such_package")
    with pytest.raises(SubmissionError, match="no_such_package has no folder"):
        build(tmp_path)


@pytest.mark.parametrize("flags", [["-I"], ["-I", "-S"]])
@pytest.mark.parametrize("python", [Path(sys.executable), *NEW_ENOUGH], ids=str)
def test_it_runs_on_a_python_where_nothing_is_installed(
    bundle: Bundle, python: Path, flags: list[str]
) -> None:
    done = subprocess.run(
        [python, *flags, bundle.path, "--help"], env={}, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("usage: pilot-agent"), done.stderr
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("python", TOO_OLD, ids=str)
def test_a_python_that_is_too_old_says_so(bundle: Bundle, python: Path) -> None:
    done = subprocess.run(
        [python, bundle.path, "--help"], env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 6
    assert done.stderr.startswith(
        f"pilot-agent: Python 3.9 or newer is needed, this is {'.'.join(map(str, version_of(python)))}."
    )


@pytest.mark.parametrize("python", [Path(sys.executable), *NEW_ENOUGH], ids=str)
def test_its_redis_connects(bundle: Bundle, python: Path, tmp_path: Path) -> None:
    server = LocalRedis(tmp_path)
    try:
        done = subprocess.run(
            [python, "-I", "-S", "-c", CONNECT, bundle.path, server.url],
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.stop()
    assert done.stderr == ""
    boot, file = done.stdout.split()
    assert len(boot) == 40
    assert Path(file).is_relative_to(bundle.path)
