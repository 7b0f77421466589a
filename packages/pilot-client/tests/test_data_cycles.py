"""Circles through data units are found when the unit is submitted that closes them, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot.data_cycles import DataFlow, Step
from pilot_protocol.errors import DescriptionError


class Session:
    """Submits units named u0, u1, … to a flow."""

    def __init__(self) -> None:
        self.begun: set[str] = set()
        self.flow = DataFlow(lambda name: name not in self.begun)
        self.count = 0

    def submit(self, reads: str = "", writes: str = "", after: str = "") -> str:
        step = Step("/bin/x", tuple(reads), tuple(writes), tuple(after.split()))
        self.flow.admit([step])
        name = f"u{self.count}"
        self.count += 1
        self.flow.confirm([step], [name])
        return name


@pytest.fixture
def session() -> Session:
    return Session()


def test_a_chain_a_fan_and_a_diamond_are_no_circles(session: Session) -> None:
    session.submit("", "a")
    session.submit("a", "b")
    session.submit("a", "c")
    session.submit("bc", "d")
    session.submit("a", "d")
    session.submit("d", "e")


def test_two_units_that_read_what_the_other_writes(session: Session) -> None:
    session.submit("a", "b")
    with pytest.raises(DescriptionError, match="for ever: a -> u0 -> b -> /bin/x -> a;"):
        session.submit("b", "a")
    session.submit("b", "c")


def test_a_long_circle_is_named(session: Session) -> None:
    session.submit("a", "b")
    session.submit("b", "c")
    session.submit("c", "d")
    with pytest.raises(DescriptionError, match="a -> u0 -> b -> u1 -> c -> u2 -> d -> /bin/x -> a;"):
        session.submit("d", "a")


def test_a_circle_through_units_without_data(session: Session) -> None:
    session.submit("a", "")
    session.submit("", "", "u0")
    with pytest.raises(DescriptionError, match="a -> u0 -> u1 -> /bin/x -> a;"):
        session.submit("", "a", "u1")
    session.submit("", "a")


def test_who_has_begun_waits_no_more(session: Session) -> None:
    session.submit("a", "b")
    session.begun.add("u0")
    session.submit("b", "a")


def test_a_batch_is_taken_whole_or_not_at_all(session: Session) -> None:
    batch = [Step("one", ("a",), ("b",)), Step("two", ("b",), ("a",))]
    with pytest.raises(DescriptionError, match="a -> one -> b -> two -> a"):
        session.flow.admit(batch)
    session.submit("b", "a")
    with pytest.raises(DescriptionError):
        session.submit("a", "b")


def test_what_failed_to_be_submitted_is_forgotten(session: Session) -> None:
    session.flow.withdraw(session.flow.admit([Step("one", ("a",), ("b",))]))
    session.submit("b", "a")


def test_what_has_begun_is_forgotten_in_the_end(session: Session) -> None:
    for _ in range(5000):
        session.begun.add(session.submit("a", "b"))
    assert len(session.flow._steps) < 1500
    session.submit("b", "a")


DATA = st.text("abcd", max_size=2).map(lambda names: "".join(sorted(set(names))))


@given(st.lists(st.tuples(DATA, DATA, st.sets(st.integers(0, 5), max_size=2)), max_size=8))
def test_what_is_taken_can_always_run(units: list[tuple[str, str, set[int]]]) -> None:
    """And what is refused could not: units run when nobody who is to add to what they read has still to run."""
    session = Session()
    taken: dict[str, tuple[set[str], set[str], set[str]]] = {}
    for reads, writes, numbers in units:
        if set(reads) & set(writes):
            continue
        after = {f"u{number}" for number in numbers} & taken.keys()
        candidate = (set(reads), set(writes), after)
        try:
            name = session.submit(reads, writes, " ".join(sorted(after)))
        except DescriptionError:
            assert not can_all_run({**taken, "new": candidate})
            continue
        taken[name] = candidate
        assert can_all_run(taken)


def can_all_run(units: dict[str, tuple[set[str], set[str], set[str]]]) -> bool:
    left = dict(units)
    while left:
        written = [writes for _, writes, _ in left.values()]
        ready = [
            name
            for name, (reads, _, after) in left.items()
            if not any(reads & writes for writes in written) and not after & left.keys()
        ]
        if not ready:
            return False
        for name in ready:
            del left[name]
    return True
