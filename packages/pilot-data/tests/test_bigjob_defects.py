"""What went wrong in BigJob's Pilot-Data, each under the name of the defect, and does not any more."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hindered_storage import Hindrance
from pilot_data import DescriptionError, PilotData, PilotDataService, State, TransferError
from pilot_data.data_session import DataSession
from pilot_data.errors import MissingFileError
from pilot_data.testing.sample_files import read_all, write, write_all

MakePilotData = Callable[..., PilotData]
Hinder = Callable[..., Hindrance]


def test_1_a_transfer_that_fails_is_no_success(pd: PilotData, here: str, hinder: Hinder) -> None:
    """There, exit codes of scp and exceptions of S3 were dropped, and the data unit was Running without its files."""
    write_all(here, ["a", "b"])
    hinder("store", TransferError("the disk is on fire"), after=1)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert unit.wait(30)
    assert unit.state is State.Failed
    assert "the disk is on fire" in unit.details["reason"]
    assert unit.list_pilot_data() == []


def test_2_a_source_that_is_not_there_is_an_error(pd: PilotData, here: str) -> None:
    """There, it was left out without a word."""
    write_all(here, ["a"])
    for missing in ("nothing", "*.none", "a/below"):
        with pytest.raises(MissingFileError, match=re.escape(missing)):
            pd.submit_data_unit({"file_urls": [f"{here}/a", f"{here}/{missing}"]})
    assert pd.list_data_units() == []
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    with pytest.raises(MissingFileError, match="nothing"):
        unit.add_files([f"{here}/nothing"])
    assert (unit.state, sorted(unit.list())) == (State.Running, ["a"])


def test_3_running_means_that_the_files_are_there(pd: PilotData, here: str, hinder: Hinder) -> None:
    """There, it meant that a thread had been started; an exception in that thread let wait() spin for ever."""
    write_all(here, ["a", "b"])
    held = hinder("store", after=1)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert held.reached.wait(30)
    assert unit.get_state() == "Pending"
    held.error = RuntimeError("the thread dies")
    again = pd.submit_data_unit({"file_urls": [f"{here}/"]})
    assert again.wait(30)
    assert (again.state, again.details["reason"].rpartition(": ")[2]) == (State.Failed, "the thread dies")
    held.go.set()
    assert unit.wait(30)
    assert unit.get_state() == "Running"
    assert read_all(pd.url_for_du(unit).removeprefix("file://")) == read_all(here)


def test_4_stage_out_that_fails_is_an_error(pd: PilotData, here: str, tmp_path: Path) -> None:
    """There, failures of stage-in and stage-out were log lines; what stages is told here, by an exception."""
    write_all(here, ["a"])
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    Path(pd.url_for_du(unit).removeprefix("file://"), "a").unlink()
    with pytest.raises(TransferError, match="No such file"):
        unit.export(f"{tmp_path}/out")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(TransferError):
        unit.export(f"{tmp_path}/file")


def test_5_files_of_one_name_do_not_overwrite_one_another(pd: PilotData, here: str) -> None:
    """There, ``a/x`` and ``b/x`` became one file, and folders were skipped."""
    write(here, "a/x", b"of a")
    write(here, "b/x", b"of b")
    with pytest.raises(DescriptionError, match=r"two files would be 'x': file://.*/a/x and file://.*/b/x"):
        pd.submit_data_unit({"file_urls": [f"{here}/a/x", f"{here}/b/x"]})
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a", f"{here}/b"]})
    assert unit.wait(30)
    stored = read_all(pd.url_for_du(unit).removeprefix("file://"))
    assert stored == {"a/x": b"of a", "b/x": b"of b"}


def test_6_canceling_removes_sizes_are_kept_to_and_contents_verified(
    make_pd: MakePilotData, here: str, hinder: Hinder
) -> None:
    """There, none of it: no deletion, no size, no checksum, no temporary name."""
    write_all(here, ["a"], size=800_000)
    small = make_pd("small", size=1)
    unit = small.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    assert len(unit.details["files"]["a"]["checksum"]) == 64
    second = small.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert second.wait(30)
    assert "remove data units there, or make a Pilot-Data with a larger size" in second.details["reason"]
    folder = small.url_for_du(unit).removeprefix("file://")
    small.cancel()
    assert not Path(folder).exists()


def test_7_no_secret_enters_the_catalogue(
    service: PilotDataService, session: DataSession, tmp_path: Path
) -> None:
    """There, private keys and S3 secrets were in Redis, and read back with eval()."""
    for keys in (
        {"userkey": "-----BEGIN OPENSSH PRIVATE KEY-----\nabc"},
        {"access_key_id": "AKIA"},
        {"secret_access_key": "s3cret"},
        {"service_url": "ssh://me:s3cret@host/x"},
        {"endpoint_url": "https://me:s3cret@host"},
    ):
        with pytest.raises(DescriptionError) as caught:
            service.create_pilot({"service_url": f"file://{tmp_path}/x", **keys})
        assert "s3cret" not in str(caught.value)
        assert "OPENSSH" not in str(caught.value)
    assert session.catalogue.list_pilot_data() == []
    pd = service.create_pilot({"service_url": f"file://{tmp_path}/x", "userkey": "~/.ssh/id"})
    assert pd.details["description"]["userkey"] == "~/.ssh/id"
    with pytest.raises(DescriptionError, match="holds a password") as caught:
        pd.submit_data_unit({"file_urls": ["ssh://me:s3cret@host/x"]})
    assert "s3cret" not in str(caught.value)


def test_8_nobody_polls(
    service: PilotDataService,
    session: DataSession,
    pd: PilotData,
    here: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There, every step waited for a loop that slept: 2 to 7 seconds for each stage."""
    write_all(here, ["a"])

    def sleep(_seconds: float) -> None:
        raise AssertionError("somebody sleeps")

    looks = []
    original = session.catalogue.wait_for

    def counted(holds: Callable[[], bool], timeout_s: float | None) -> bool:
        def look() -> bool:
            looks.append(timeout_s)
            return holds()

        return original(look, timeout_s)

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(session.catalogue, "wait_for", counted)
    unit = pd.submit_data_unit({"file_urls": [f"{here}/a"]})
    assert unit.wait(30)
    assert unit.state is State.Running, unit.details["reason"]
    assert len(looks) < 30  # as often as something changed
