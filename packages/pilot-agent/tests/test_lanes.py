"""Lanes: what a unit leaves is kept, and the next one finds nothing of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pilot_agent.node.lanes import INLINE_BYTES, Captured, Lane, LanePool
from pilot_agent.spawn.failures import StartError


@pytest.fixture
def lane(tmp_path: Path) -> Lane:
    return Lane(str(tmp_path / "lane"))


def test_new_lane_is_empty(lane: Lane, tmp_path: Path) -> None:
    assert os.listdir(lane.work) == []
    assert lane.keep_work(str(tmp_path / "own")) == ""
    assert lane.stdout.take(str(tmp_path / "own")) == Captured(b"", "")
    assert not (tmp_path / "own").exists()


@pytest.mark.parametrize("size", [1, INLINE_BYTES])
def test_short_output_is_taken_and_cut_off(lane: Lane, tmp_path: Path, size: int) -> None:
    os.write(lane.stdout.fd, b"x" * size)
    assert lane.stdout.take(str(tmp_path / "own")) == Captured(b"x" * size, "")
    assert lane.stdout.take(str(tmp_path / "own")) == Captured(b"", "")


def test_writer_that_stays_appends_to_the_emptied_file(lane: Lane, tmp_path: Path) -> None:
    os.write(lane.stdout.fd, b"first")
    lane.stdout.take(str(tmp_path))
    os.write(lane.stdout.fd, b"second")
    assert lane.stdout.take(str(tmp_path)).tail == b"second"


def test_long_output_moves_and_its_tail_is_returned(lane: Lane, tmp_path: Path) -> None:
    own = tmp_path / "own"
    os.write(lane.stderr.fd, b"a" * INLINE_BYTES + b"end")
    captured = lane.stderr.take(str(own))
    assert captured.path == str(own / "stderr")
    assert captured.tail == b"a" * (INLINE_BYTES - 3) + b"end"
    assert os.path.getsize(captured.path) == INLINE_BYTES + 3
    os.write(lane.stderr.fd, b"next")
    assert lane.stderr.take(str(own)) == Captured(b"next", "")


def test_output_does_not_replace_a_file_of_the_unit(lane: Lane, tmp_path: Path) -> None:
    (tmp_path / "stdout").write_text("the unit's own")
    os.write(lane.stdout.fd, b"x" * 5000)
    assert lane.stdout.take(str(tmp_path)).path == str(tmp_path / "stdout.1")
    assert (tmp_path / "stdout").read_text() == "the unit's own"


def test_folder_with_a_file_is_moved_however_quick_the_unit_was(lane: Lane, tmp_path: Path) -> None:
    Path(lane.work, "file").write_text("x")
    assert lane.keep_work(str(tmp_path / "own")) == str(tmp_path / "own")
    assert (tmp_path / "own" / "file").read_text() == "x"
    assert os.listdir(lane.work) == []
    assert lane.keep_work(str(tmp_path / "own")) == ""


def test_folder_that_exists_is_not_mixed_with_another(lane: Lane, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    Path(lane.work, "file").touch()
    assert lane.keep_work(str(tmp_path / "own")) == str(tmp_path / "own.1")


def test_folder_whose_permissions_were_changed_is_as_new(lane: Lane, tmp_path: Path) -> None:
    os.chmod(lane.work, 0)
    assert lane.keep_work(str(tmp_path / "own")) == ""
    assert os.stat(lane.work).st_mode & 0o777 == 0o700


def test_folder_that_became_a_link_is_moved_and_what_it_names_left_alone(lane: Lane, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    os.rmdir(lane.work)
    os.symlink(data, lane.work)
    assert lane.keep_work(str(tmp_path / "own")) == str(tmp_path / "own")
    assert os.readlink(tmp_path / "own") == str(data)
    assert data.stat().st_mode & 0o777 == 0o755


def test_lane_of_a_killed_executor_is_used_again_empty(lane: Lane, tmp_path: Path) -> None:
    Path(lane.work, "file").touch()
    os.write(lane.stdout.fd, b"output")
    again = Lane(str(tmp_path / "lane"))
    assert os.listdir(again.work) == []
    assert again.stdout.take(str(tmp_path)) == Captured(b"", "")
    assert os.listdir(again.work + ".1") == ["file"]


def test_output_that_cannot_be_moved_can_still_be_closed(lane: Lane, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.write(lane.stdout.fd, b"x" * 5000)
    with pytest.raises(OSError, match="Not a directory"):
        lane.stdout.take(str(tmp_path / "file" / "own"))
    lane.close()


def test_pool_gives_each_unit_a_lane_of_its_own(tmp_path: Path) -> None:
    pool = LanePool(str(tmp_path), 3)
    first, second = pool.take(), pool.take()
    assert [first.work, second.work] == [str(tmp_path / "3-0" / "work"), str(tmp_path / "3-1" / "work")]
    pool.give_back(first)
    assert pool.take() is first


def test_pool_gives_up_a_lane_in_which_somebody_may_still_write(tmp_path: Path) -> None:
    pool = LanePool(str(tmp_path), 3)
    first = pool.take()
    left = os.dup(first.stdout.fd)
    pool.may_be_written = True
    pool.give_back(first)
    os.write(left, b"late")
    pool.may_be_written = False
    second = pool.take()
    assert second.work != first.work
    assert second.stdout.take(str(tmp_path / "own")) == Captured(b"", "")
    assert os.listdir(tmp_path) == ["3-1"]
    os.close(left)


def test_what_is_written_late_into_a_lane_that_was_given_up_stays(lane: Lane) -> None:
    Path(lane.work, "late").touch()
    lane.retire()
    assert os.listdir(lane.work) == ["late"]


def test_lane_that_cannot_be_made_leaves_no_file_open(tmp_path: Path) -> None:
    (tmp_path / "lane" / "stderr").mkdir(parents=True)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(IsADirectoryError):
        Lane(str(tmp_path / "lane"))
    assert os.listdir("/proc/self/fd") == before


def test_lane_that_cannot_be_made_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"folder for output .*/file/0-0' cannot be made: Not a directory"):
        LanePool(str(tmp_path / "file"), 0).take()
