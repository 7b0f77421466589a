"""Data units: what they take, what they tell, and what can be done with them."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hindered_storage import Hindrance
from pilot_data import (
    DataUnit,
    DataUnitDescription,
    DescriptionError,
    PilotData,
    State,
    StateError,
    TransferError,
)
from pilot_data.adaptors.file import FileStorage
from pilot_data.errors import ConnectionLostError, MissingFileError
from pilot_data.testing.sample_files import HARD_NAMES, read_all, write, write_all

MakePilotData = Callable[..., PilotData]
Hinder = Callable[..., Hindrance]


@pytest.fixture(params=["memory", "redis"])
def catalogue_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stored(pd: PilotData, unit: DataUnit) -> dict[str, bytes]:
    """Return what lies at a Pilot-Data of a data unit, partial files as well."""
    return read_all(pd.url_for_du(unit).removeprefix("file://"))


def whole(pd: PilotData, *file_urls: object, **keys: object) -> DataUnit:
    unit = pd.submit_data_unit({"file_urls": [str(url) for url in file_urls], **keys})
    assert unit.wait(50)
    assert unit.get_state() == "Running", unit.details["reason"]
    return unit


# --- what it takes ----------------------------------------------------------------------------------------------------


def test_hard_names_come_through_and_back(pd: PilotData, here: str, tmp_path: Path) -> None:
    write_all(here, HARD_NAMES)
    Path(os.fsdecode(os.fsencode(here) + b"/not \xff utf-8")).write_bytes(b"x")
    unit = whole(pd, f"{here}/")
    assert stored(pd, unit) == read_all(here)
    assert sorted(unit.list()) == sorted(read_all(here))
    unit.export(f"{tmp_path}/out")
    assert read_all(f"{tmp_path}/out") == read_all(here)


def test_folders_patterns_and_single_files(pd: PilotData, here: str) -> None:
    write_all(here, ["run/a.txt", "run/deep/b.txt", "run/c.dat", "one"])
    assert sorted(whole(pd, f"{here}/run").list()) == ["run/a.txt", "run/c.dat", "run/deep/b.txt"]
    assert sorted(whole(pd, f"{here}/run/").list()) == ["a.txt", "c.dat", "deep/b.txt"]
    assert sorted(whole(pd, f"{here}/run/*.txt", f"file://{here}/one").list()) == ["a.txt", "one"]
    assert sorted(whole(pd, f"{here}/**/*.txt").list()) == ["run/a.txt", "run/deep/b.txt"]


def test_links_empty_files_and_empty_folders(pd: PilotData, here: str, tmp_path: Path) -> None:
    write(here, "real", b"content")
    write(here, "empty", b"")
    Path(here, "empty folder").mkdir()
    Path(here, "link").symlink_to("real")
    Path(here, "outside").symlink_to(tmp_path / "here" / "real")
    unit = whole(pd, f"{here}/")
    unit.export(f"{tmp_path}/out")
    out = tmp_path / "out"
    assert (out / "empty folder").is_dir()
    assert (out / "empty").read_bytes() == b""
    assert os.readlink(out / "link") == "real"
    assert not (out / "outside").is_symlink()
    assert (out / "outside").read_bytes() == b"content"
    assert unit.details["bytes"] == 2 * len(b"content")


def test_a_link_that_leads_nowhere_is_an_error(pd: PilotData, here: str) -> None:
    Path(here, "broken").symlink_to("/nowhere/at all")
    with pytest.raises(TransferError, match="'broken' is a link that leads to no file"):
        pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert pd.list_data_units() == []


def test_sockets_and_pipes_have_no_content(pd: PilotData, here: str) -> None:
    os.mkfifo(f"{here}/pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(f"{here}/socket"))
    write(here, "file", b"x")
    assert sorted(whole(pd, f"{here}/").list()) == ["file"]


def test_a_data_unit_without_files(pd: PilotData, here: str, tmp_path: Path) -> None:
    unit = whole(pd)
    assert (unit.list(), unit.details["number_of_files"]) == ({}, 0)
    unit.export(f"{tmp_path}/out")
    write_all(here, ["a"])
    unit.add_files([f"{here}/a"])
    assert sorted(stored(pd, unit)) == ["a"]
    assert pd.submit_data_unit(DataUnitDescription()).wait(30)


def test_a_file_that_is_named_twice_comes_once(pd: PilotData, here: str) -> None:
    write_all(here, ["a", "b"])
    unit = whole(pd, f"{here}/a", f"{here}/*", f"file://{here}/a")
    assert sorted(unit.list()) == ["a", "b"]
    assert unit.details["number_of_files"] == 2


def test_a_replica_elsewhere_is_a_source_as_any(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["x/a", "x/b"])
    first = whole(pd, f"{here}/")
    urls = [urls["pilot_data"][0] for urls in first.list().values()]
    assert urls[0].startswith(pd.url_for_du(first))
    second = whole(make_pd("other"), *urls)
    assert sorted(second.list()) == ["a", "b"]
    third = whole(make_pd("third"), pd.url_for_du(first) + "/")
    assert sorted(third.list()) == ["x/a", "x/b"]


@pytest.mark.parametrize(
    ("description", "match"),
    [
        ({"file_urls": "/data/x"}, "give a list"),
        ({"file_urls": [7]}, r"file_urls\[0\]"),
        ({"file_urls": [""]}, r"file_urls\[0\]"),
        ({"file_urls": ["ssh://me:secret@host/x"]}, "holds a password"),
        ({"file_urls": ["nfs://host/x"]}, "no adaptor serves nfs"),
        ({"file_urls": ["file://host/x"]}, "use ssh://host"),
        ({"file_urls": [], "number_of_replicas": 0}, "number_of_replicas"),
        ({"file_urls": [], "number_of_replicas": "2"}, "number_of_replicas"),
        ({"file_urls": [], "checksum": "md5"}, "checksum.*sha256"),
        ({"file_url": []}, "file_url.*file_urls"),
        ({"file_urls": [], "number_of_replicas": 2}, "has 1 Pilot-Data that are Running; make more"),
    ],
)
def test_wrong_descriptions_are_refused(pd: PilotData, description: Any, match: str) -> None:
    with pytest.raises(DescriptionError, match=match) as caught:
        pd.submit_data_unit(description)
    assert "secret" not in str(caught.value)
    assert pd.list_data_units() == []


# --- what it tells ----------------------------------------------------------------------------------------------------


def test_details_of_a_data_unit(pd: PilotData, here: str) -> None:
    item = write(here, "a", b"content", mode=0o750)
    unit = whole(pd, f"{here}/a", name="mine")
    details = unit.get_details()
    checksum = hashlib.sha256(b"content").hexdigest()
    assert details["description"]["name"] == "mine"
    assert (details["state"], details["reason"]) == (State.Running, "")
    assert (details["number_of_files"], details["bytes"]) == (1, 7)
    assert details["replicas"] == {pd.id: {"state": State.Done, "bytes": 7, "reason": ""}}
    assert details["files"]["a"] == {
        "size": 7,
        "checksum": checksum,
        "mtime": item.entry.mtime_ns / 1e9,
        "link": "",
        "replicas": [pd.id],
    }
    assert unit.list() == {"a": {"pilot_data": [f"{pd.url_for_du(unit)}/a"], "size": 7}}


def test_without_checksums_none_is_told(pd: PilotData, here: str, tmp_path: Path) -> None:
    write_all(here, ["a", "b"])
    unit = whole(pd, f"{here}/", checksum="none")
    assert {file["checksum"] for file in unit.details["files"].values()} == {""}
    unit.export(f"{tmp_path}/out")
    assert read_all(f"{tmp_path}/out") == read_all(here)


# --- replicas ---------------------------------------------------------------------------------------------------------


def test_as_many_replicas_as_asked_for(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a", "b/c"])
    others = [make_pd("second"), make_pd("third")]
    unit = whole(pd, f"{here}/", number_of_replicas=3)
    assert unit.list_pilot_data() == unit.get_pilot_data() == [pd, *others]
    for place in (pd, *others):
        assert stored(place, unit) == read_all(here)
    assert len(unit.list()["a"]["pilot_data"]) == 3


def test_a_data_unit_is_brought_to_further_places(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a"])
    unit = whole(pd, f"{here}/a")
    Path(here, "a").unlink()  # a replica is copied from another, not from where the user had the files
    places = [make_pd(name) for name in ("added", "put", "copied", "submitted")]
    unit.add_pilot_data(places[0])
    places[1].put_du(unit)
    pd.copy_du(unit, places[2])
    assert places[3].submit_data_unit(data_unit=unit) == unit
    assert unit.wait(30)
    assert unit.list_pilot_data() == [pd, *places]
    for place in places:
        assert stored(place, unit) == stored(pd, unit)


def test_one_that_is_there_is_not_brought_again(pd: PilotData, here: str, hinder: Hinder) -> None:
    write_all(here, ["a"])
    unit = whole(pd, f"{here}/a")
    again = hinder("store")
    pd.put_du(unit)
    assert unit.state is State.Running
    assert again.begun == 0


def test_one_on_its_way_is_copied_on_when_it_has_come(
    pd: PilotData, make_pd: MakePilotData, here: str, hinder: Hinder
) -> None:
    write_all(here, ["a", "b"])
    held = hinder("/store/", after=1)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert held.reached.wait(30)
    other = make_pd("other")
    unit.add_pilot_data(other)
    unit.add_pilot_data(other)
    held.go.set()
    assert unit.wait(30)
    assert unit.list_pilot_data() == [pd, other]
    assert stored(other, unit) == read_all(here)


def test_put_du_tells_that_it_failed(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a"], size=2_000_000)
    unit = whole(pd, f"{here}/a")
    small = make_pd("small", size=1)
    with pytest.raises(TransferError, match=r"is not at pd-.* 2000000 bytes"):
        small.put_du(unit)
    assert (unit.state, unit.list_pilot_data()) == (State.Running, [pd])
    assert unit.details["replicas"][small.id]["state"] is State.Failed


def test_removing_one_replica_leaves_the_others(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a"])
    other = make_pd("other")
    unit = whole(pd, f"{here}/a", number_of_replicas=2)
    pd.remove_du(unit)
    assert unit.wait(5)
    assert (unit.state, unit.list_pilot_data()) == (State.Running, [other])
    assert (stored(pd, unit), sorted(stored(other, unit))) == ({}, ["a"])
    pd.remove_du(unit)
    other.remove_du(unit)
    assert unit.get_state() == "Canceled"
    assert stored(other, unit) == {}


def test_canceling_one_place_leaves_the_others(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a"])
    other = make_pd("other")
    both, lonely = whole(pd, f"{here}/a", number_of_replicas=2), whole(pd, f"{here}/a")
    pd.cancel()
    assert (both.state, both.list_pilot_data()) == (State.Running, [other])
    assert lonely.state is State.Canceled


def test_canceling_removes_everything_everywhere(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a", "b/c"])
    other = make_pd("other")
    unit = whole(pd, f"{here}/", number_of_replicas=2)
    unit.cancel()
    unit.cancel()
    assert (unit.state, unit.list_pilot_data()) == (State.Canceled, [])
    assert (stored(pd, unit), stored(other, unit)) == ({}, {})
    assert unit.wait(5)
    with pytest.raises(StateError, match="is Canceled"):
        unit.add_files([])
    with pytest.raises(StateError, match="is Canceled"):
        unit.remove_files([])
    with pytest.raises(StateError, match="is Canceled"):
        unit.add_pilot_data(pd)
    with pytest.raises(StateError, match="nothing can be exported"):
        unit.export("/tmp/x")


# --- files come and go ------------------------------------------------------------------------------------------------


def test_files_are_added_to_every_replica(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a", "more/b", "more/c"])
    other = make_pd("other")
    unit = whole(pd, f"{here}/a", number_of_replicas=2)
    unit.add_files([f"{here}/more"])
    assert (unit.state, unit.details["number_of_files"]) == (State.Running, 3)
    assert stored(pd, unit) == stored(other, unit) == read_all(here)
    assert all(file["checksum"] for file in unit.details["files"].values())


def test_added_files_do_not_make_a_failed_replica_whole(
    pd: PilotData, make_pd: MakePilotData, here: str, hinder: Hinder
) -> None:
    write_all(here, ["a", "b"])
    unit = whole(pd, f"{here}/a")
    broken = make_pd("broken")
    hindrance = hinder("broken", TransferError("no"))
    unit.add_pilot_data(broken)
    assert unit.wait(30)
    hindrance.word = "nothing at all"
    unit.add_files([f"{here}/b"])
    assert unit.list_pilot_data() == [pd]


def test_a_name_that_is_taken_is_refused(pd: PilotData, here: str) -> None:
    write_all(here, ["a", "b", "other/a"])
    unit = whole(pd, f"{here}/a")
    before = stored(pd, unit)
    with pytest.raises(DescriptionError, match=r"has a file 'a'; remove_files\(\) it first"):
        unit.add_files([f"{here}/b", f"{here}/other/a"])
    assert stored(pd, unit) == before
    unit.remove_files(["a"])
    unit.add_files([f"{here}/other/a"])
    assert stored(pd, unit)["a"] == Path(here, "other/a").read_bytes()


def test_files_that_could_not_be_added_leave_nothing(
    pd: PilotData, make_pd: MakePilotData, here: str, hinder: Hinder
) -> None:
    write_all(here, ["a", "b", "c"])
    other = make_pd("other")
    unit = whole(pd, f"{here}/a", number_of_replicas=2)
    hindrance = hinder("/other/", TransferError("no way"), after=1)
    with pytest.raises(TransferError, match="no way"):
        unit.add_files([f"{here}/b", f"{here}/c"])
    assert (unit.state, sorted(unit.list())) == (State.Running, ["a"])
    assert (sorted(stored(pd, unit)), sorted(stored(other, unit))) == (["a"], ["a"])
    hindrance.word = "nothing at all"
    unit.add_files([f"{here}/b", f"{here}/c"])
    assert sorted(stored(other, unit)) == ["a", "b", "c"]


def test_ctrl_c_while_files_are_added_leaves_nothing(pd: PilotData, here: str, hinder: Hinder) -> None:
    write_all(here, ["a", "b", "c"])
    unit = whole(pd, f"{here}/a")
    hinder("store", KeyboardInterrupt(), after=1)
    with pytest.raises(KeyboardInterrupt):
        unit.add_files([f"{here}/b", f"{here}/c"])
    assert unit.wait(5)
    assert (unit.state, sorted(unit.list()), sorted(stored(pd, unit))) == (State.Running, ["a"], ["a"])


def test_files_are_removed_from_every_replica(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a", "deep/b", "c"])
    other = make_pd("other")
    unit = whole(pd, f"{here}/", number_of_replicas=2)
    unit.remove_files(("a", "deep/b"))
    assert sorted(unit.list()) == ["c"]
    assert sorted(stored(pd, unit)) == sorted(stored(other, unit)) == ["c"]
    assert not os.path.exists(f"{pd.url_for_du(unit).removeprefix('file://')}/deep")
    with pytest.raises(MissingFileError, match="has no file 'a'"):
        unit.remove_files(["c", "a"])
    assert sorted(unit.list()) == ["c"]


def test_removing_can_be_said_again_when_a_storage_was_away(
    pd: PilotData, here: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all(here, ["a", "b"])
    unit = whole(pd, f"{here}/")

    def refuse(storage: FileStorage, paths: object) -> None:
        raise ConnectionLostError("away")

    with monkeypatch.context() as patch:
        patch.setattr(FileStorage, "remove_many", refuse)
        with pytest.raises(ConnectionLostError, match="away"):
            unit.remove_files(["a"])
    assert sorted(unit.list()) == ["a", "b"]
    unit.remove_files(["a"])
    assert sorted(stored(pd, unit)) == ["b"]


@pytest.mark.parametrize("given", ["a", None, 7, [7], [None]])
def test_files_are_named_in_lists(pd: PilotData, here: str, given: Any) -> None:
    write_all(here, ["a"])
    unit = whole(pd, f"{here}/a")
    with pytest.raises(DescriptionError, match="file_urls"):
        unit.add_files(given)
    with pytest.raises(DescriptionError, match="names"):
        unit.remove_files(given)
    assert sorted(stored(pd, unit)) == ["a"]


def test_files_that_move_are_left_alone(pd: PilotData, here: str, hinder: Hinder) -> None:
    write_all(here, ["a"])
    held = hinder("store")
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert held.reached.wait(30)
    with pytest.raises(StateError, match="is Pending; add_files needs one that is Running"):
        unit.add_files([f"{here}/a"])
    with pytest.raises(StateError, match="is Pending; remove_files needs"):
        unit.remove_files(["a"])
    with pytest.raises(StateError, match="is Pending, and not whole: nothing can be exported"):
        unit.export("/tmp/x")


def test_a_data_unit_tells_how_many_replicas_it_lacks(pd: PilotData, make_pd: MakePilotData) -> None:
    other = make_pd("other")
    unit = whole(pd, number_of_replicas=2)
    assert unit.details["reason"] == ""
    other.remove_du(unit)
    assert unit.state is State.Running
    assert unit.details["reason"] == (
        "it asks for 2 replicas and has 1; add_pilot_data() brings it to a further Pilot-Data"
    )


# --- export -----------------------------------------------------------------------------------------------------------


def test_export_from_one_place(pd: PilotData, make_pd: MakePilotData, here: str, tmp_path: Path) -> None:
    write_all(here, ["a"])
    unit = whole(pd, f"{here}/a")
    other = make_pd("other")
    with pytest.raises(StateError, match=f"is Running, and not whole at {other.id}"):
        other.export_du(unit, f"{tmp_path}/out")
    other.put_du(unit)
    os.unlink(f"{pd.url_for_du(unit).removeprefix('file://')}/a")
    other.export_du(unit, f"file://{tmp_path}/out")
    assert read_all(f"{tmp_path}/out") == read_all(here)


def test_export_tells_how_much_failed(pd: PilotData, here: str, tmp_path: Path) -> None:
    write_all(here, ["a", "b", "c"])
    unit = whole(pd, f"{here}/")
    folder = pd.url_for_du(unit).removeprefix("file://")
    os.unlink(f"{folder}/a")
    write(folder, "b", b"x" * 100)  # as long as it was, with another content
    with pytest.raises(TransferError, match=r"\(and 1 more files\)"):
        unit.export(f"{tmp_path}/out")
    assert sorted(read_all(f"{tmp_path}/out")) == ["c"]


def test_export_to_a_path(pd: PilotData, here: str, tmp_path: Path) -> None:
    write_all(here, ["a"])
    unit = whole(pd, f"{here}/a")
    unit.export(tmp_path / "one")
    pd.export_du(unit, tmp_path / "other")
    assert read_all(f"{tmp_path}/one") == read_all(f"{tmp_path}/other") == read_all(here)


@pytest.mark.parametrize("target", ["", "nfs://x/y", 7])
def test_export_to_nowhere(pd: PilotData, target: Any) -> None:
    with pytest.raises(DescriptionError, match=r"target_url is empty|no adaptor serves|target_url is 7"):
        whole(pd).export(target)


def test_export_to_a_file_is_an_error(pd: PilotData, here: str) -> None:
    write_all(here, ["a"])
    unit = whole(pd, f"{here}/a")
    with pytest.raises(TransferError):
        unit.export(f"{here}/a")
    assert Path(here, "a").read_bytes() == stored(pd, unit)["a"]


def test_a_changed_replica_is_not_copied_on(pd: PilotData, make_pd: MakePilotData, here: str) -> None:
    write_all(here, ["a"])
    unit = whole(pd, f"{here}/a")
    write(pd.url_for_du(unit).removeprefix("file://"), "a", b"y" * 100)
    other = make_pd("other")
    with pytest.raises(TransferError, match="has not the content any more"):
        other.put_du(unit)
    assert (stored(other, unit), unit.state) == ({}, State.Running)
