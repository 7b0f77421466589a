"""What has to move."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_data.entries import Entry, Item
from pilot_data.errors import MissingFileError
from pilot_data.plan import Plan, make_plan
from pilot_data.storage import Capabilities
from pilot_protocol.errors import DescriptionError

ALL = Capabilities(links=True, modes=True, mtimes=True, folders=True)
PLAIN = Capabilities()
SECOND = 10**9
FILE = Entry("x", size=3, mtime_ns=5 * SECOND + 1, mode=0o600)


def plan(*entries: Entry, present: tuple[Entry, ...] = (), target: Capabilities = ALL) -> Plan:
    wanted = [Item(entry, entry.path) for entry in entries]
    return make_plan(wanted, {entry.path: entry for entry in present}, target)


def test_what_is_not_there_moves() -> None:
    found = plan(FILE, Entry("y", size=4))
    assert [item.target for item in found.items] == ["x", "y"]
    assert found.bytes == 7


@pytest.mark.parametrize(
    ("here", "there", "target"),
    [
        (FILE, FILE, ALL),
        (FILE, replace(FILE, mode=0o640), ALL),
        (FILE, replace(FILE, mtime_ns=5 * SECOND), ALL),
        (replace(FILE, mtime_ns=5 * SECOND), FILE, ALL),
        (FILE, replace(FILE, mtime_ns=9 * SECOND), PLAIN),
        (replace(FILE, checksum="a"), replace(FILE, checksum="a", mtime_ns=1), ALL),
        (Entry("x", link="y", size=1), Entry("x", link="y", size=2), ALL),
        (Entry("x", is_folder=True), Entry("x", is_folder=True, mtime_ns=3), ALL),
    ],
)
def test_what_is_the_same_does_not_move(here: Entry, there: Entry, target: Capabilities) -> None:
    found = plan(here, present=(there,), target=target)
    assert (found.items, len(found.unchanged)) == ((), 1)


@pytest.mark.parametrize(
    ("here", "there", "target"),
    [
        (FILE, replace(FILE, size=4), ALL),
        (FILE, replace(FILE, mtime_ns=6 * SECOND + 1), ALL),
        (FILE, replace(FILE, mtime_ns=5 * SECOND + 2), ALL),
        (FILE, replace(FILE, mtime_ns=4 * SECOND), PLAIN),
        (replace(FILE, mtime_ns=0), replace(FILE, mtime_ns=0), ALL),
        (replace(FILE, mtime_ns=0), FILE, PLAIN),
        (replace(FILE, checksum="a"), replace(FILE, checksum="b"), ALL),
        (FILE, Entry("x", link="y", size=3, mtime_ns=FILE.mtime_ns), ALL),
        (Entry("x", link="y"), Entry("x", link="z"), ALL),
        (Entry("x", is_folder=True), FILE, ALL),
    ],
)
def test_what_differs_moves(here: Entry, there: Entry, target: Capabilities) -> None:
    assert [item.target for item in plan(here, present=(there,), target=target).items] == ["x"]


def test_links_come_last_and_count_no_bytes() -> None:
    found = plan(Entry("a", link="b", size=100), Entry("b", size=1))
    assert [item.target for item in found.items] == ["b", "a"]
    assert found.bytes == 1


def test_a_link_arrives_with_its_content_where_there_are_no_links() -> None:
    found = plan(Entry("a", link="b", size=100), target=PLAIN)
    assert found.items == (Item(Entry("a", size=100), "a"),)
    assert found.bytes == 100


def test_a_link_to_nothing_is_refused_where_it_cannot_be_a_link() -> None:
    assert [item.target for item in plan(Entry("a", link="b", is_broken=True)).items] == ["a"]
    for entry in (Entry("a", link="b", is_broken=True), Entry("a", is_broken=True)):
        (refused,) = plan(entry, target=PLAIN).refused
        assert isinstance(refused.error, MissingFileError)


def test_empty_folders_are_left_out_where_there_are_none() -> None:
    assert plan(Entry("a", is_folder=True), target=PLAIN) == Plan()


def test_what_is_at_the_target_only_is_told() -> None:
    assert plan(FILE, present=(FILE, Entry("z"))).extra == (Entry("z"),)


def test_two_files_of_one_name_are_refused() -> None:
    for other in ("a/x", "b/x"):  # the same path may be that of another root
        with pytest.raises(DescriptionError, match=f"'a/x' and '{other}'"):
            make_plan([Item(Entry("a/x"), "x"), Item(Entry(other), "x")], {}, ALL)


@given(
    st.lists(st.builds(Entry, st.text("abc", min_size=1, max_size=2), st.integers(0, 2), st.integers(0, 9)))
)
def test_a_second_plan_has_nothing_to_do(entries: list[Entry]) -> None:
    unique = {entry.path: replace(entry, mtime_ns=entry.mtime_ns + 1) for entry in entries}
    first = plan(*unique.values())
    arrived = tuple(replace(item.entry, path=item.target) for item in first.items)
    second = plan(*unique.values(), present=arrived)
    assert (second.items, second.extra, second.refused) == ((), (), ())
    assert len(second.unchanged) == len(unique)
