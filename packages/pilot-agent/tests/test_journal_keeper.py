from __future__ import annotations

import os
from pathlib import Path

import pytest

from core_builders import end
from pilot_agent.core.endings import CANCELED
from pilot_agent.journal import DURABILITY_WINDOW_S, JournalWriter
from pilot_agent.journal_keeper import Handed, JournalKeeper
from pilot_protocol.errors import SubmissionError

LONG_S = 1000.0


def started(name: str, times: int = 1) -> Handed:
    return Handed(name, 1, times, is_chained=False)


def chained(name: str, times: int = 1) -> Handed:
    return Handed(name, 1, times, is_chained=True)


class Journal:
    """A keeper, the executors' side of its journal, and the clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[Handed] = []
        self.keeper = self.new_keeper()
        self.executor = JournalWriter(str(folder), "executor-0")
        self.now_s = 0.0

    def new_keeper(self) -> JournalKeeper:
        return JournalKeeper(str(self.folder), lambda: self.running)

    def ended(self, *units: tuple[str, int]) -> None:
        self.executor.append([["E", name, attempt, end()] for name, attempt in units])

    def names(self) -> list[str]:
        return sorted(file.name for file in self.folder.iterdir())

    def pass_time(self, seconds: float, confirmed_s: float | None = None) -> None:
        """Let time pass, second by second; everything is confirmed at once, or only what was heard of before."""
        for _ in range(int(seconds)):
            self.now_s += 1.0
            self.keeper.remove_old(self.now_s if confirmed_s is None else confirmed_s, self.now_s)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


def test_a_new_head_learns_what_its_predecessor_left(journal: Journal) -> None:
    journal.keeper.note_starts([started("cu-a-1"), started("cu-a-2"), started("cu-a-3")])
    journal.ended(("cu-a-1", 1), ("cu-a-2", 1))
    journal.keeper.note_confirmed([("cu-a-1", 1)])
    recovery = journal.new_keeper().recover()
    assert list(recovery.confirmed) == [("cu-a-1", 1)]
    assert list(recovery.ended) == [("cu-a-2", 1)]
    assert recovery.lost == [("cu-a-3", 1)]


def test_a_unit_that_came_back_is_lost_only_if_it_was_handed_over_again(journal: Journal) -> None:
    journal.keeper.note_starts([chained("cu-a-1"), chained("cu-a-2")])
    journal.executor.append([["U", "cu-a-1", 1], ["U", "cu-a-2", 1]])
    assert journal.new_keeper().recover().lost == []
    journal.keeper.note_starts([started("cu-a-2", times=2)])
    assert journal.new_keeper().recover().lost == [("cu-a-2", 1)]


def test_a_chained_unit_is_lost_only_if_it_has_begun(journal: Journal) -> None:
    journal.keeper.note_starts([chained("cu-a-1"), chained("cu-a-2"), chained("cu-a-3")])
    assert journal.new_keeper().recover().lost == []
    # The executor has begun one of them, the head has heard of another one that runs.
    journal.executor.append([["B", "cu-a-1", 1]])
    journal.keeper.note_starts([started("cu-a-2")])
    assert sorted(journal.new_keeper().recover().lost) == [("cu-a-1", 1), ("cu-a-2", 1)]


def test_a_new_head_learns_why_units_were_told_to_end(journal: Journal) -> None:
    journal.keeper.note_causes([("cu-a-1", 2, CANCELED)])
    assert journal.new_keeper().recover().causes == {("cu-a-1", 2): list(CANCELED)}


def test_a_full_segment_is_followed_by_one_that_begins_with_what_runs(journal: Journal) -> None:
    journal.running = [started("cu-b-1", times=2), chained("cu-c-1")]
    journal.keeper._writer._segment_bytes = 100
    journal.keeper.note_starts([started("cu-a-1"), started("cu-b-1", times=2)])
    journal.keeper.note_confirmed([(f"cu-a-{number}", 1) for number in range(10)])
    assert (journal.folder / "head.2.jsonl").read_text() == '["S","cu-b-1",1,2]\n["C","cu-c-1",1]\n'


def test_why_what_runs_is_to_end_outlives_the_segment_that_says_so(journal: Journal) -> None:
    journal.running = [started("cu-b-1")._replace(cause=CANCELED)]
    journal.keeper._writer._segment_bytes = 1
    journal.keeper.note_confirmed([("cu-a-1", 1)])
    (journal.folder / "head.1.jsonl").unlink()
    assert journal.new_keeper().recover().causes == {("cu-b-1", 1): list(CANCELED)}


def test_segments_in_use_are_kept_for_ever(journal: Journal) -> None:
    journal.pass_time(LONG_S)
    assert journal.names() == ["executor-0.1.jsonl", "head.1.jsonl"]


def test_a_closed_segment_goes_when_all_of_it_was_confirmed_for_the_window(journal: Journal) -> None:
    journal.ended(("cu-a-1", 1))
    journal.executor.rotate()
    journal.pass_time(DURABILITY_WINDOW_S)
    assert "executor-0.1.jsonl" in journal.names()
    journal.pass_time(DURABILITY_WINDOW_S)
    assert journal.names() == ["executor-0.2.jsonl", "head.1.jsonl"]


def test_a_closed_segment_stays_while_something_of_its_time_is_not_confirmed(journal: Journal) -> None:
    journal.ended(("cu-a-1", 1))
    journal.executor.rotate()
    journal.pass_time(LONG_S, confirmed_s=0.0)
    assert "executor-0.1.jsonl" in journal.names()
    # Confirmed at last; now the window begins.
    journal.pass_time(DURABILITY_WINDOW_S - 1)
    assert "executor-0.1.jsonl" in journal.names()
    journal.pass_time(DURABILITY_WINDOW_S)
    assert "executor-0.1.jsonl" not in journal.names()


def test_the_age_that_the_file_system_tells_is_not_believed(journal: Journal) -> None:
    journal.ended(("cu-a-1", 1))
    journal.executor.rotate()
    os.utime(journal.folder / "executor-0.1.jsonl", (0, 0))
    journal.pass_time(DURABILITY_WINDOW_S)
    assert "executor-0.1.jsonl" in journal.names()


def test_a_segment_that_somebody_has_removed_is_no_trouble(journal: Journal) -> None:
    journal.executor.rotate()
    journal.pass_time(DURABILITY_WINDOW_S)
    (journal.folder / "executor-0.1.jsonl").unlink()
    journal.pass_time(LONG_S)
    assert "executor-0.1.jsonl" not in journal.names()


def test_segments_of_earlier_heads_go_too(journal: Journal) -> None:
    journal.keeper.note_starts([started("cu-a-1")])
    journal.keeper.close()
    journal.keeper = journal.new_keeper()
    journal.pass_time(2 * DURABILITY_WINDOW_S + 20)
    assert journal.names() == ["executor-0.1.jsonl", "head.2.jsonl"]


def test_a_journal_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    with pytest.raises(
        SubmissionError, match=r"journal cannot be written: .*; give the pilot a working_directory"
    ):
        JournalKeeper(str(tmp_path / "journal"), list)


def test_a_journal_that_cannot_be_written_says_so(journal: Journal) -> None:
    journal.keeper.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        journal.keeper.note_starts([started("cu-a-1")])
