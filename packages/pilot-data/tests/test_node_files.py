"""What a mover does with folders: links, outputs, hard links, locks and copies that a unit asks for."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pilot_data import markers
from pilot_data.adaptors.file import FileStorage
from pilot_data.entries import Item, Outcome
from pilot_data.errors import CanceledError, ChangedSourceError, MissingFileError
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.node import hard_links
from pilot_data.node.file_transfers import incoming, outgoing
from pilot_data.node.gathering import meant, outputs_in
from pilot_data.node.hard_links import put_linked
from pilot_data.node.links import link_all
from pilot_data.node.locks import Locks
from pilot_data.node.pins import Pins
from pilot_data.storage import Access
from pilot_data.testing.sample_files import read_all
from pilot_protocol.data_records import FileRecord
from pilot_protocol.errors import TransferError

DATA_UNIT = "du-aaaaaaaaaaaa"


def storage(folder: Path) -> FileStorage:
    return FileStorage(Location("file", path=str(folder)), Access())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a compute unit."""
    made = tmp_path / "sandbox" / "unit"
    made.mkdir(parents=True)
    return made


def items(folder: Path) -> list[Item]:
    return [Item(entry, entry.path) for entry in storage(folder).list()]


def put(folder: Path, target: Path, job: Job | None = None) -> list[Outcome]:
    return list(put_linked(storage(folder), storage(target), items(folder), job or Job()))


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/x", "a//b", "."])
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(TransferError, match="no name of a file below a folder"):
        link_all(str(folder), "/data", [FileRecord(name)])
    assert not list(folder.iterdir())


def test_empty_folders_are_made_and_links_of_an_earlier_attempt_replaced(folder: Path) -> None:
    files = [FileRecord("x"), FileRecord("empty/one", is_folder=True)]
    assert link_all(str(folder), "/old", files) == 1
    assert link_all(str(folder), "/new", files) == 1
    assert os.readlink(folder / "x") == "/new/x"
    assert (folder / "empty" / "one").is_dir()


def test_links_of_units_that_share_a_folder_are_never_gone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link() -> None:
        link_all(str(folder), "/data", [FileRecord("x")])

    def late(_path: str) -> bool:
        """Say that there is no link, and have somebody else make it just then."""
        monkeypatch.undo()
        link()
        return False

    monkeypatch.setattr(os.path, "islink", late)
    link()
    before = os.lstat(folder / "x").st_ino
    link()
    assert os.lstat(folder / "x").st_ino == before
    assert os.listdir(folder) == ["x"]


def test_no_folder_is_made_behind_a_link_that_leads_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / "sub").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TransferError, match="leads out of"):
        link_all(str(folder), "/data", [FileRecord("sub/deeper/x")])
    assert not os.listdir(tmp_path / "elsewhere")


def test_inputs_are_no_outputs_and_other_links_are_files(folder: Path, tmp_path: Path) -> None:
    cache, store = tmp_path / "cache", tmp_path / "store"
    for place in (cache / DATA_UNIT, store / DATA_UNIT, tmp_path / "other" / DATA_UNIT):
        place.mkdir(parents=True)
        (place / "x").write_text("content")
    (store / markers.name_of("pd-aaaaaaaa")).touch()
    (folder / "out").write_text("out")
    (folder / "fetched").symlink_to(cache / DATA_UNIT / "x")
    (folder / "seen").symlink_to(store / DATA_UNIT / "x")
    (folder / "indirect").symlink_to("seen")
    (folder / "of-nobody").symlink_to(tmp_path / "other" / DATA_UNIT / "x")
    (folder / "latest").symlink_to("out")
    (folder / "broken").symlink_to("nowhere")
    found = outputs_in(storage(folder), str(cache))
    assert [(entry.path, entry.link) for entry in meant(found, ["*"], DATA_UNIT)] == [
        ("latest", ""),
        ("of-nobody", ""),
        ("out", ""),
    ]
    (folder / "scratch").symlink_to(tmp_path)
    with pytest.raises(
        MissingFileError, match="links that lead to no file are left out: 'broken', 'scratch'"
    ):
        meant(outputs_in(storage(folder), str(cache)), ["scratch/*"], DATA_UNIT)


def test_outputs_get_a_second_name_and_nothing_is_copied(folder: Path, tmp_path: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "x").write_text("content")
    moved: list[int] = []
    for _ in range(2):
        (outcome,) = put(folder, tmp_path / "target", Job(on_bytes=moved.append))
        assert outcome.error is None
        assert outcome.checksum == hashlib.sha256(b"content").hexdigest()
    assert os.path.samefile(folder / "sub" / "x", tmp_path / "target" / "sub" / "x")
    assert os.listdir(tmp_path / "target" / "sub") == ["x"]
    assert not moved


def test_what_cannot_be_linked_is_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "x").write_text("content")
    (tmp_path / "outside").write_text("outside")
    (folder / "y").symlink_to(tmp_path / "outside")
    wanted = [Item(entry, entry.path) for entry in outputs_in(storage(folder), "/cache")]
    list(put_linked(storage(folder), storage(tmp_path / "1"), wanted, Job()))
    assert read_all(str(tmp_path / "1")) == {"x": b"content", "y": b"outside"}
    assert not os.path.samefile(tmp_path / "outside", tmp_path / "1" / "y")
    monkeypatch.setattr(hard_links, "_is_linked", lambda *_paths: False)
    put(folder, tmp_path / "2")
    assert not os.path.samefile(folder / "x", tmp_path / "2" / "x")


def test_an_output_that_changes_is_not_taken(folder: Path, tmp_path: Path) -> None:
    (folder / "x").write_text("content")
    listed = items(folder)
    (folder / "x").write_text("other content")
    (outcome,) = put_linked(storage(folder), storage(tmp_path / "target"), listed, Job())
    assert isinstance(outcome.error, ChangedSourceError)
    assert read_all(str(tmp_path / "target")) == {}


def test_who_waits_for_a_lock_can_be_canceled(tmp_path: Path) -> None:
    locks, job, begun = Locks(str(tmp_path / "locks")), Job(), threading.Event()
    errors: list[BaseException] = []

    def wait() -> None:
        begun.set()
        try:
            with locks.held("x", job):
                pass
        except CanceledError as error:
            errors.append(error)

    with locks.held("x", Job()), locks.held("y", Job()):
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert begun.wait(10)
        job.cancel()
        locks.wake()
        waiter.join(10)
    assert len(errors) == 1
    with locks.held("x", Job()), locks.held_if_free("x") as is_free:
        assert not is_free
    with locks.held_if_free("x") as is_free:
        assert is_free


def test_a_lock_whose_file_cannot_be_opened_is_not_held_for_ever(tmp_path: Path) -> None:
    locks = Locks(str(tmp_path / "locks"))
    os.mkdir(locks.path("x"))
    with pytest.raises(IsADirectoryError), locks.held_if_free("x"):
        pass
    os.rmdir(locks.path("x"))
    with locks.held_if_free("x") as is_free:
        assert is_free


def test_a_lock_that_another_process_held_is_ours_when_it_lets_go(tmp_path: Path) -> None:
    locks = Locks(str(tmp_path / "locks"))
    fd = os.open(locks.path("x"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    held = threading.Event()

    def wait() -> None:
        with locks.held("x", Job()):
            held.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    with locks.held_if_free("x") as is_free:
        assert not is_free
    assert not held.is_set()
    os.close(fd)
    assert held.wait(10)
    waiter.join()


def test_pins_of_a_later_attempt_stay(tmp_path: Path) -> None:
    pins = Pins(str(tmp_path / "pins"))
    pins.put("cu-1", 1, ["du-1"])
    pins.put("cu-1", 2, ["du-1", "du-2"])
    pins.put("cu/2", 1, ["du-3"])
    pins.remove("cu-1", 1)
    assert Pins(str(tmp_path / "pins")).data_units() == {"du-1", "du-2", "du-3"}
    pins.remove("cu-1", 2)
    pins.remove("cu-1", 2)
    assert pins.data_units() == {"du-3"}


def test_a_log_that_is_large_begins_anew(tmp_path: Path) -> None:
    program = (
        "import logging, sys; from pilot_data.node.log import set_up; set_up(sys.stderr, 1000)\n"
        "for number in range(100): logging.warning('line %d', number)"
    )
    with (tmp_path / "log").open("ab") as writing:
        subprocess.run([sys.executable, "-c", program], stderr=writing, check=True)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[-1].endswith("line 99")
    assert 0 < len(lines) < 50
    piped = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert len(piped.stderr.splitlines()) == 100


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """Files to be copied: of the pilot and of somebody else."""
    sandbox = tmp_path / "sandbox"
    (sandbox / "of-pilot").write_text("pilot")
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "my file").write_text("else")
    return sandbox


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{else}/my file > SUBJOB_WORK_DIR", "my file"),
        ("file://{else}/my%20file > .", "my file"),
        ("{else}/my file > in.txt", "in.txt"),
        ("sub/ < {else}/*", "sub/my file"),
        ("{else}/my file > SUBJOB_WORK_DIR/in.txt", "in.txt"),
    ],
)
def test_files_are_copied_to_a_unit(copied: Path, folder: Path, tmp_path: Path, text: str, name: str) -> None:
    incoming(text.format(**{"else": tmp_path / "else"}), str(folder), str(copied), Job())
    assert read_all(str(folder)) == {name: b"else"}


@pytest.mark.parametrize("text", ["of-pilot > .", "BIGJOB_WORK_DIR/of-pilot > ./"])
def test_files_of_the_pilot_are_copied_to_a_unit(copied: Path, folder: Path, text: str) -> None:
    incoming(text, str(folder), str(copied), Job())
    assert read_all(str(folder)) == {"of-pilot": b"pilot"}


def test_files_are_copied_from_a_unit(copied: Path, folder: Path, tmp_path: Path) -> None:
    (folder / "a.out").write_text("a")
    (folder / "b.out").write_text("b")
    outgoing(f"file://{tmp_path}/results/ < *.out", str(folder), str(copied), Job())
    assert read_all(str(tmp_path / "results")) == {"a.out": b"a", "b.out": b"b"}
    outgoing("a.out > kept", str(folder), str(copied), Job())
    assert (copied / "kept").read_text() == "a"


def test_a_copy_that_fails_says_which(copied: Path, folder: Path) -> None:
    with pytest.raises(TransferError, match=r"gone"):
        incoming("gone > .", str(folder), str(copied), Job())
    job = Job()
    job.cancel()
    with pytest.raises(CanceledError):
        incoming("of-pilot > .", str(folder), str(copied), job)
