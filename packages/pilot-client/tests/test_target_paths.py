"""Paths that a shell on the target expands: what is expanded, and that nothing else is."""

from __future__ import annotations

import subprocess

import pytest

from pilot.submission.target_paths import shell_word, variables_in

ENVIRONMENT = {"HOME": "/home/a da", "PLACE": "deep/$HOME `id`", "A_1": "one"}


def expanded(path: str, shell: str) -> str:
    done = subprocess.run(
        [shell, "-c", f"printf %s {shell_word(path)}"],
        env={**ENVIRONMENT, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize(
    ("path", "result"),
    [
        ("/plain/path", "/plain/path"),
        ("~", "/home/a da"),
        ("~/agent", "/home/a da/agent"),
        ("~root/x y", "/root/x y"),
        ("~no.such-user/x", "~no.such-user/x"),
        ("a~/b", "a~/b"),
        ("~ /x", "~ /x"),
        ("$HOME/x", "/home/a da/x"),
        ("/x/${A_1}z/$A_1", "/x/onez/one"),
        ("$PLACE", "deep/$HOME `id`"),
        ("/a'b\"c\\d*?;|&<>(x)#\n`id`$(id)", "/a'b\"c\\d*?;|&<>(x)#\n`id`$(id)"),
        ("/$5/${}/$", "/$5/${}/$"),
        ("${HOME:-x}", "${HOME:-x}"),
        ("", ""),
    ],
)
def test_what_a_shell_makes_of_a_path(path: str, result: str, shell: str) -> None:
    assert expanded(path, shell) == result


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/a", []),
        ("~/a", ["HOME"]),
        ("~root/a", []),
        ("~/$HOME/${B}/$A/$B", ["HOME", "B", "A"]),
        ("$1/$", []),
    ],
)
def test_which_variables_a_path_needs(path: str, names: list[str]) -> None:
    assert variables_in(path) == names
