"""The job script, run by the shells that there are, with programs of the test in the interpreter's place."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pilot.submission.job_script import (
    FILES_MISSING,
    NO_PYTHON,
    SETUP_FAILED,
    ScriptFacts,
    explain,
    render,
)
from pilot_protocol.errors import SubmissionError

SHELLS = {
    name: command
    for name, command in {
        "dash": ["dash"],
        "bash": ["bash"],
        "bash as sh": ["bash", "--posix"],
        "busybox": ["busybox", "sh"],
        "ksh": ["ksh"],
        "mksh": ["mksh"],
    }.items()
    if shutil.which(command[0])
}
ODD_VALUES = {
    "QUOTES": 'it\'s "quoted"',
    "DOLLAR": "$HOME ${HOME} $(id) `id`",
    "BREAKS": "one\ntwo\n\nthree\n",
    "BACKSLASH": "a\\b\\\\c\\n\\",
    "GLOB": "* ? [a] ~ #!;|&<>()",
    "EMPTY": "",
    "UTF8": "Größe 数",
    "BLANKS": "  leading and trailing  ",
}
SHOW = """
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd(), sys.flags.isolated]))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> list[str]:
    return SHELLS[request.param]


@pytest.fixture
def facts(tmp_path: Path) -> ScriptFacts:
    """A script that starts, as the agent, a program which shows what it was given."""
    folder = tmp_path / "it's a $HOME"
    folder.mkdir()
    (folder / "agent.pyz").write_text(SHOW)
    (folder / "agent.json").write_text("{}")
    bundle, settings = str(folder / "agent.pyz"), str(folder / "agent.json")
    return ScriptFacts("p-aaaaaaaa", "0.1.0", bundle, settings, (3, 9), python=sys.executable)


@pytest.fixture
def run(facts: ScriptFacts, shell: list[str], tmp_path: Path) -> Run:
    """Runs the script with other facts."""

    def call(*, variables: Mapping[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "job.sh"
        script.write_bytes(os.fsencode(render(dataclasses.replace(facts, **more))))
        known = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(
            [*shell, script],
            env={**known, **(variables or {})},
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    return call


def shown(done: subprocess.CompletedProcess[str]) -> list[Any]:
    import json

    assert (done.returncode, done.stderr) == (0, "")
    return list(json.loads(done.stdout))


def fake_python(path: Path, version: str, code: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n[ -z '{version}' ] || echo '{version}'\nexit {code}\n")
    path.chmod(0o700)
    return path


def test_it_becomes_the_agent(run: Run, facts: ScriptFacts) -> None:
    arguments, _, folder, isolated = shown(run())
    assert arguments == ["--config", facts.settings]
    assert folder == "/"
    assert isolated == 1


def test_the_environment_arrives_as_it_was_given(run: Run) -> None:
    variables = shown(run(environment=ODD_VALUES))[1]
    assert {name: variables[name] for name in ODD_VALUES} == ODD_VALUES


def test_bytes_that_are_no_text_arrive(run: Run) -> None:
    assert shown(run(environment={"RAW": "a\udcffb"}))[1]["RAW"] == "a\udcffb"


def test_variables_of_the_scripts_own_are_not_handed_on(run: Run) -> None:
    variables = shown(run(setup=["true"]))[1]
    assert not [name for name in variables if name.startswith("pilot_")]


@pytest.mark.parametrize("name", ["A-B", "1A", "BASH_FUNC_x%%", "a b", "UID", "A\nid"])
def test_a_variable_that_no_shell_can_set_is_refused(facts: ScriptFacts, name: str) -> None:
    with pytest.raises(SubmissionError, match="which the shell of a job cannot set"):
        render(dataclasses.replace(facts, environment={name: "x"}))


def test_setup_runs_in_the_environment_and_changes_it(run: Run) -> None:
    setup = ["B=$A-more", "export B", "load() { C=$1; export C; }", "load $B; cd /tmp"]
    _, variables, folder, _ = shown(run(environment={"A": "given"}, setup=setup))
    assert (variables["B"], variables["C"], folder) == ("given-more", "given-more", "/")


def test_commands_of_several_lines_work(run: Run) -> None:
    setup = [
        "if true; then",
        "  A=1",
        "else",
        "  A=2",
        "fi",
        "B='one",
        "two'",
        "C=$(cat <<END",
        "$A here",
        "END",
        ")",
        "export A \\",
        "  B C",
    ]
    variables = shown(run(setup=setup))[1]
    assert [variables[name] for name in "ABC"] == ["1", "one\ntwo", "1 here"]


def test_whatever_a_setup_sets_the_rest_works(run: Run, facts: ScriptFacts) -> None:
    arguments = shown(run(setup=["set -euf", "IFS=/", "bundle=x; settings=y; python=z", "set -- a b"]))[0]
    assert arguments == ["--config", facts.settings]


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        (["true", "false", "echo never"], "line 2: exit code 1"),
        (["true", "(exit 7)"], "line 2: exit code 7"),
        (["(true;", "exit 7)"], "line 1 or a later one: exit code 7"),
        (["exit 0"], "line 1: exit code 0"),
        (["no-such-command --load x"], "line 1: exit code 127"),
        (["true", "if true; then", "(exit 5)", "fi"], "line 2 or a later one: exit code 5"),
    ],
)
def test_a_setup_that_fails_says_where(run: Run, setup: list[str], said: str) -> None:
    done = run(setup=setup)
    assert done.returncode == SETUP_FAILED
    assert done.stdout == ""
    assert done.stderr.endswith(f"pilot: setup failed in {said}\n")


@pytest.mark.parametrize("setup", [["echo 'open"], ["if true; then"], [")"], ["cat <<END"]])
def test_a_setup_that_is_no_shell_never_becomes_an_agent(run: Run, setup: list[str]) -> None:
    done = run(setup=["true", *setup])
    assert done.returncode == SETUP_FAILED
    assert "pilot: setup failed in line 2 or a later one" in done.stderr


def test_an_interpreter_is_looked_for(run: Run, tmp_path: Path) -> None:
    bin_folder = tmp_path / "bin"
    fake_python(bin_folder / "python3", "3.6.8", 1)
    fake_python(bin_folder / "python3.12", "", 127)
    (bin_folder / "python3.11").symlink_to(sys.executable)
    done = run(python="", variables={"PATH": f"{bin_folder}:/usr/bin:/bin"})
    assert shown(done)[0][0] == "--config"


def shim(path: Path) -> Path:
    """Write a script that leads to this interpreter and sets a variable, as those of pyenv do."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'#!/bin/sh\nPASSED=yes exec {sys.executable} "$@"\n')
    path.chmod(0o700)
    return path


def test_a_script_before_the_interpreter_is_passed_by(run: Run, tmp_path: Path) -> None:
    folder = shim(tmp_path / "bin" / "python3").parent
    assert "PASSED" not in shown(run(python="", variables={"PATH": f"{folder}:/usr/bin:/bin"}))[1]


def test_a_script_that_the_user_named_is_kept(run: Run, tmp_path: Path) -> None:
    named = shim(tmp_path / "bin" / "python3")
    assert shown(run(python=str(named)))[1]["PASSED"] == "yes"
    variables = {"PATH": f"{named.parent}:/usr/bin:/bin"}
    assert shown(run(python="python3", variables=variables))[1]["PASSED"] == "yes"


def test_a_script_is_kept_whose_interpreter_is_not_to_be_had_without_it(run: Run, tmp_path: Path) -> None:
    container = tmp_path / "bin" / "python3"
    container.parent.mkdir()
    answer = "case $* in *' -c '*) echo 3.12.0 /inside/the/container/python; exit ;; esac"
    container.write_text(f'#!/bin/sh\n{answer}\nPASSED=yes exec {sys.executable} "$@"\n')
    container.chmod(0o700)
    done = run(python="", variables={"PATH": f"{container.parent}:/usr/bin:/bin"})
    assert shown(done)[1]["PASSED"] == "yes"


def test_without_an_interpreter_it_says_what_was_tried(run: Run, tmp_path: Path) -> None:
    fake_python(tmp_path / "bin" / "python2.7", "2.7.18", 1)
    done = run(python="~/bin/python2.7")
    assert done.returncode == NO_PYTHON
    assert "pilot: no Python 3.9 or newer, with zlib, on " in done.stderr
    assert f"tried: {tmp_path}/bin/python2.7; found: {tmp_path}/bin/python2.7 (2.7.18)" in done.stderr
    assert "the key python of the pilot's description" in done.stderr


def test_an_interpreter_that_is_not_there_or_does_not_run(run: Run, tmp_path: Path) -> None:
    assert "found: none of them" in run(python="/no/python").stderr
    broken = fake_python(tmp_path / "bin" / "python3", "", 1)
    assert f"found: {broken} (does not run)" in run(python=str(broken)).stderr


def test_an_interpreter_is_expanded_on_the_target(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "my env"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    assert shown(run(python="${BASE}/my env/python", environment={"BASE": str(tmp_path)}))[3] == 1


@pytest.mark.parametrize(("key", "path"), [("bundle", "gone"), ("settings", "gone/agent.json")])
def test_folders_that_are_not_mounted_where_it_runs(run: Run, key: str, path: str, tmp_path: Path) -> None:
    done = run(**{key: str(tmp_path / path)})
    assert done.returncode == FILES_MISSING
    node = os.uname().nodename
    assert (
        done.stderr == f"pilot: {tmp_path}/gone cannot be read on {node}: is its file system mounted there?\n"
    )


def test_settings_that_are_gone_are_the_agents_to_explain(run: Run, facts: ScriptFacts) -> None:
    os.unlink(facts.settings)
    assert shown(run())[0] == ["--config", facts.settings]


@pytest.mark.parametrize("code", [SETUP_FAILED, NO_PYTHON, FILES_MISSING, 126, 127])
def test_every_exit_code_is_explained(code: int) -> None:
    assert explain(code)


@pytest.mark.parametrize("code", [0, 1, 3, 4, 5, 137, -9])
def test_what_is_not_its_own_is_not_explained(code: int) -> None:
    assert explain(code) is None
