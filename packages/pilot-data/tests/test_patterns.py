"""Patterns of file names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_data.patterns import escaped, is_pattern, matches, split, top


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*", "a"),
        ("*", "folder/with/all/below"),
        ("*.dat", "x.dat"),
        ("*.dat", "line\nbreak.dat"),
        ("run?/out", "run1/out"),
        ("run[0-3]", "run2/x"),
        ("run[!0-3]", "run7"),
        ("**", "a/b/c"),
        ("**/x", "x"),
        ("**/x", "a/b/x"),
        ("a/**/x", "a/x"),
        ("a/**", "a/b/c"),
        (".*", ".hidden"),
        ("*/.hidden", "a/.hidden"),
        ("[[]1]", "[1]"),
        ("[", "["),
    ],
)
def test_patterns_match_as_in_shells(pattern: str, path: str) -> None:
    assert matches(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*", ".hidden"),
        ("*.dat", "folder/x.dat"),
        ("**/x", ".git/x"),
        ("**", ".hidden"),
        ("run?", "run"),
        ("run[0-3]", "run7"),
        ("a/*", "a"),
        ("*.dat", "x.data"),
        ("a", "ab"),
    ],
)
def test_patterns_do_not_match_more_than_in_shells(pattern: str, path: str) -> None:
    assert not matches(pattern, path)


@given(st.lists(st.text("ab.", min_size=1), min_size=1, max_size=5).map("/".join))
def test_a_text_without_special_characters_matches_itself_and_what_is_below(path: str) -> None:
    assert not is_pattern(path)
    assert matches(path, path)
    assert matches(path, f"{path}/below")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/data/run*/x", ("/data", "run*/x")),
        ("/*", ("/", "*")),
        ("*", ("", "*")),
        ("a/b", ("a/b", "")),
        ("~/[a]", ("~", "[a]")),
    ],
)
def test_a_path_is_split_before_its_first_pattern(path: str, parts: tuple[str, str]) -> None:
    assert split(path) == parts


def test_what_is_encoded_means_itself() -> None:
    assert matches(escaped("a%2a%3F%5b1]*"), "a*?[1]xyz")
    assert not matches(escaped("a%2A"), "abc")


def test_a_pattern_names_a_path_down_to_its_own_depth() -> None:
    assert top("run*", "run1/a/b") == "run1"
    assert top("run*/a", "run1/a/b") == "run1/a"
    assert top("**", "a/b") == "a/b"
