"""The start journal: what is written is read, whatever was cut off, and says what became of each unit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_agent.journal import JournalWriter, read_records, recover, segments

END = {"code": 0, "out": "text\n\udcff"}


def read_all(directory: Path) -> list[list[Any]]:
    return read_records(str(directory), segments(str(directory)))


def test_records_are_read_in_the_order_of_writing(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "journal"), "head")
    writer.append([["S", "cu-1", 1], ("S", "cu-2", 1)])
    writer.append([])
    writer.append([["E", "cu-1", 1, END]])
    writer.close()
    assert read_all(tmp_path / "journal") == [["S", "cu-1", 1], ["S", "cu-2", 1], ["E", "cu-1", 1, END]]


def test_journal_is_private(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path / "journal"), "head")
    writer.close()
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "journal" / writer.segment).stat().st_mode & 0o777 == 0o600


def test_journal_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert segments(str(tmp_path / "missing")) == []


def test_each_process_continues_after_its_own_segments(tmp_path: Path) -> None:
    for _ in range(11):
        JournalWriter(str(tmp_path), "executor-1").close()
    other = JournalWriter(str(tmp_path), "executor-10")
    other.close()
    (tmp_path / "notes.txt").touch()
    assert other.segment == "executor-10.1.jsonl"
    assert segments(str(tmp_path))[8:] == [
        "executor-1.9.jsonl",
        "executor-1.10.jsonl",
        "executor-1.11.jsonl",
        "executor-10.1.jsonl",
    ]


def test_segment_is_full_from_its_size_on(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "head", segment_bytes=20)
    full = []
    for _ in range(2):
        writer.append([["S", "cu-1", 1]])
        full.append(writer.full)
    writer.close()
    assert full == [False, True]


def test_rotation_carries_records_over(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "head")
    writer.append([["S", "cu-1", 1], ["S", "cu-2", 1]])
    assert writer.rotate([["S", "cu-2", 1]]) == "head.1.jsonl"
    writer.close()
    assert read_records(str(tmp_path), ["head.2.jsonl"]) == [["S", "cu-2", 1]]


@pytest.mark.parametrize("cut", range(1, 15))
def test_line_that_was_cut_off_costs_that_line_alone(tmp_path: Path, cut: int) -> None:
    writer = JournalWriter(str(tmp_path), "head")
    writer.append([["S", "cu-1", 1], ["S", "cu-2", 1]])
    writer.close()
    path = tmp_path / writer.segment
    path.write_bytes(path.read_bytes()[:-cut])
    assert read_all(tmp_path)[:1] == [["S", "cu-1", 1]]
    assert len(read_all(tmp_path)) == (2 if cut == 1 else 1)


def test_write_that_failed_half_way_does_not_harm_the_next(tmp_path: Path) -> None:
    writer = JournalWriter(str(tmp_path), "head")
    path = tmp_path / writer.segment
    # Every write to /dev/full fails as on a full disk; here with half a line written before.
    full, good = os.open("/dev/full", os.O_WRONLY), writer._fd
    os.write(good, b'["S","cu-')
    writer._fd = full
    with pytest.raises(OSError, match="No space left"):
        writer.append([["S", "cu-1", 1]])
    writer._fd = good
    writer.append([["S", "cu-2", 1]])
    writer.close()
    os.close(full)
    assert path.read_bytes() == b'["S","cu-\n["S","cu-2",1]\n'
    assert read_all(tmp_path) == [["S", "cu-2", 1]]


@given(st.binary(max_size=200))
def test_reader_takes_anything(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.mktemp("journal")
    (directory / "head.1.jsonl").write_bytes(content)
    recover(read_all(directory))


def test_recovery_tells_what_became_of_each_unit() -> None:
    recovery = recover(
        [
            ["S", "running", 1],
            ["S", "ended", 1],
            ["S", "confirmed", 1],
            ["S", "given-back", 1],
            ["S", "again", 1],
            ["S", "again", 2],
            ["T", "running", 1, "C", "canceled", "by the user", True],
            ["E", "ended", 1, END],
            ["E", "confirmed", 1, END],
            ["E", "again", 1, END],
            ["U", "given-back", 1],
            ["R", "confirmed", 1],
            ["R", "again", 1],
            ["X", "of a later version", 1],
        ]
    )
    assert recovery.ended == {("ended", 1): END}
    assert recovery.lost == [("running", 1), ("again", 2)]
    assert recovery.confirmed == {("confirmed", 1): END, ("again", 1): END}
    assert recovery.causes == {("running", 1): ["C", "canceled", "by the user", True]}


@given(st.lists(st.tuples(st.sampled_from("STEUR"), st.sampled_from(["a", "b"]), st.integers(1, 2))))
def test_recovery_does_not_depend_on_the_order(records: list[tuple[str, str, int]]) -> None:
    whole: list[tuple[Any, ...]] = [(*record, END) if record[0] == "E" else record for record in records]
    forward, backward = recover(whole), recover(list(reversed(whole)))
    assert forward.ended == backward.ended
    assert forward.confirmed == backward.confirmed
    assert sorted(forward.lost) == sorted(backward.lost)
    assert not set(forward.ended) & set(forward.lost)
