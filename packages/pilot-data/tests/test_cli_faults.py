"""The command pilot-data as a program that is interrupted, killed, cut off and left without room."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest

import fake_storage
from cli_runs import COMMAND, one_line, program, started
from pilot_data.entries import is_partial
from pilot_data.testing.sample_files import content, read_all, write, write_all
from pilot_data.testing.storage_fixture import LARGE, names_below
from small_disk import small_disk

SLOWLY = ("--bandwidth", "1M")


@pytest.fixture
def pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A named pipe that tells when a transfer is in the middle of a file."""
    fake_storage.install(tmp_path / "site", monkeypatch)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setenv(fake_storage.PIPE, str(path))
    write(str(tmp_path / "run"), "large", content(LARGE))
    write(str(tmp_path / "run"), "a", b"small")
    return path


def in_the_middle(pipe: Path, *options: str) -> subprocess.Popen[str]:
    """Start to put a folder, and return when it is in the middle of the large file."""
    folder = pipe.parent
    running = started("put", *SLOWLY, *options, f"{folder}/run/", f"fake://telling{folder}/store")
    assert pipe.read_bytes() == b"."
    return running


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_transfer_leaves_whole_files_only(pipe: Path, number: int, code: int) -> None:
    running = in_the_middle(pipe)
    assert any(is_partial(name) for name in names_below(str(pipe.parent / "store")))
    running.send_signal(number)
    _out, err = running.communicate()
    assert running.returncode == code
    assert one_line(err, "canceled", "1 of 2 files landed")
    assert names_below(str(pipe.parent / "store")) == ["a"]


@pytest.mark.faults
def test_an_interrupted_transfer_keeps_what_has_arrived_if_told(pipe: Path) -> None:
    running = in_the_middle(pipe, "--keep-partial")
    running.send_signal(signal.SIGINT)
    running.communicate()
    assert running.returncode == 130
    assert sum(map(is_partial, names_below(str(pipe.parent / "store")))) == 1


@pytest.mark.faults
def test_a_killed_transfer_goes_on_where_it_was(pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = pipe.parent / "store"
    running = in_the_middle(pipe)
    running.kill()
    running.communicate()
    (partial,) = [name for name in names_below(str(store)) if is_partial(name)]
    inode = (store / partial).stat().st_ino
    monkeypatch.delenv(fake_storage.PIPE)
    assert program("put", f"{pipe.parent}/run/", f"fake://telling{store}").code == 0
    assert (store / "large").stat().st_ino == inode
    assert read_all(str(store)) == read_all(f"{pipe.parent}/run")


@pytest.mark.faults
def test_the_next_one_removes_what_a_killed_one_has_left_on_the_way_and_no_more(
    pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spools = pipe.parent / "spools"
    spools.mkdir()
    monkeypatch.setenv("TMPDIR", str(spools))
    folder = pipe.parent
    running = started("cp", "--bandwidth", "4M", f"fake://one{folder}/run/", f"fake://telling{folder}/store")
    assert pipe.read_bytes() == b"."
    running.send_signal(signal.SIGSTOP)
    (spool,) = spools.iterdir()
    monkeypatch.delenv(fake_storage.PIPE)
    again = ("cp", f"fake://one{folder}/run/", f"fake://telling{folder}/again")
    assert program(*again).code == 0
    assert read_all(str(spool))
    assert list(spools.iterdir()) == [spool]
    running.kill()
    running.communicate()
    assert program(*again).code == 0
    assert list(spools.iterdir()) == []


@pytest.mark.faults
@pytest.mark.parametrize("command", [["ls", "-r", "run"], ["put", "--json", "run/", "store"], ["--help"]])
def test_a_closed_pipe_ends_it_quietly(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_all("run", [str(number) for number in range(200)])
    reading, writing = os.pipe()
    os.close(reading)
    running = started(*command, stdout=writing)
    os.close(writing)
    _out, err = running.communicate()
    assert running.returncode == 141
    assert "Traceback" not in err
    assert not any(is_partial(name) for name in names_below("store"))


@pytest.mark.faults
def test_a_full_disk_is_told_and_takes_whole_files_only(tmp_path: Path) -> None:
    write(str(tmp_path / "run"), "a", b"small")
    write(str(tmp_path / "run"), "large", content(LARGE))
    write(str(tmp_path / "run"), "z", b"small")
    with small_disk(tmp_path / "small", "size=8m") as disk:
        ended = program("put", f"{tmp_path}/run/", str(disk))
        assert ended.code == 3
        assert one_line(ended.err, "No space left", "1 of 3 files landed")
        assert names_below(str(disk)) == ["a"]


def test_a_terminal_sees_how_far_it_is_and_a_pipe_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_all("run", ["a", "b"])
    assert "%" not in program("put", "run", "one").err
    terminal, ours = os.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    running = subprocess.Popen([*COMMAND, "put", "run", "two"], stdout=subprocess.PIPE, stderr=ours)
    out, _err = running.communicate()
    shown = os.read(terminal, 1 << 16)
    os.close(terminal)
    os.close(ours)
    assert out == b""
    assert b"%" in shown
    assert b"/200" in shown
    assert b"2 files copied" in shown


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_twenty_thousand_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in range(100):
        os.makedirs(f"run/{folder}")
        for number in range(200):
            Path(f"run/{folder}/{number}").write_bytes(b"%d" % number)
    put = program("put", "--json", "run", "store")
    assert put.code == 0
    assert put.events[-1]["moved"] == 20_000
    assert "20000 unchanged" in program("sync", "--delete", "run", "store").err
    assert program("verify", "-q", "run", "store").code == 0
    assert program("rm", "-r", "store").code == 0
    assert not os.path.exists("store")
