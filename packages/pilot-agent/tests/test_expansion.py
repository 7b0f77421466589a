"""Expansion of names in what a description says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_agent.expansion import expand, expand_path, extend_environment

ENVIRONMENT = {"HOME": "/home/ada", "NAME": "value", "EMPTY": "", "_X1": "y", "DOLLAR": "$NAME"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("plain text", "plain text"),
        ("$NAME", "value"),
        ("${NAME}s", "values"),
        ("$NAMEs", "$NAMEs"),
        ("a$NAME-$_X1/", "avalue-y/"),
        ("$EMPTY|", "|"),
        ("$$NAME", "$NAME"),
        ("$$$NAME", "$value"),
        ("$UNSET ${UNSET}", "$UNSET ${UNSET}"),
        ("$1 $ ${} ${1} ${NAME", "$1 $ ${} ${1} ${NAME"),
        ("$DOLLAR", "$NAME"),
        ("~/x", "~/x"),
        ("$(id) `id` *", "$(id) `id` *"),
    ],
)
def test_expand(text: str, expanded: str) -> None:
    assert expand(text, ENVIRONMENT) == expanded


@pytest.mark.parametrize(
    ("path", "expanded"),
    [
        ("~", "/home/ada"),
        ("~/bin/$NAME", "/home/ada/bin/value"),
        ("~bob/x", "~bob/x"),
        ("/a/~/b", "/a/~/b"),
        ("$HOME/x", "/home/ada/x"),
        ("x", "x"),
    ],
)
def test_expand_path(path: str, expanded: str) -> None:
    assert expand_path(path, ENVIRONMENT) == expanded


def test_home_that_is_the_root_folder() -> None:
    assert expand_path("~", {"HOME": "/"}) == "/"
    assert expand_path("~/x", {"HOME": "/"}) == "/x"


def test_tilde_without_a_home_stays() -> None:
    assert expand_path("~/x", {}) == "~/x"


def test_environment_is_built_in_order() -> None:
    base = {"PATH": "/bin", "A": "1"}
    overrides = {"PATH": "/opt/bin:$PATH", "B": "$A$C", "C": "${B}!", "D": "$$A"}
    assert extend_environment(base, overrides) == {
        "PATH": "/opt/bin:/bin",
        "A": "1",
        "B": "1$C",
        "C": "1$C!",
        "D": "$A",
    }
    assert base == {"PATH": "/bin", "A": "1"}


@given(st.text())
def test_doubling_each_dollar_protects_any_text(text: str) -> None:
    assert expand(text.replace("$", "$$"), ENVIRONMENT) == text
