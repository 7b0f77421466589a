"""The job of a pilot: one shell script without arguments, which sets up, finds an interpreter and becomes the agent. Pure.

It runs in dash, bash, ksh and busybox alike. The invariant: but for the lines of ``setup``, nothing that a user gave is read
as shell, and whatever way the script ends before it is the agent, its last words say why.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pilot_protocol.errors import SubmissionError

from .target_paths import shell_word

SETUP_FAILED = 95
"""A line of ``setup`` failed, or ended the script."""
NO_PYTHON = 96
"""None of the interpreters is there and new enough."""
FILES_MISSING = 97
"""The bundle or the sandbox cannot be read where the job runs."""

_EXPLANATIONS = {
    SETUP_FAILED: "a line of the description's setup failed",
    NO_PYTHON: "no Python that is new enough was found where the job ran; name one with the key python",
    FILES_MISSING: "the agent's files could not be read where the job ran; name a working_directory on a file system "
    "that all nodes share",
    126: "the job script or the interpreter could not be executed",
    127: "the job script or the interpreter was not found",
}

_NEWEST_MINOR = 14
_LAST_RESORTS = ("/usr/bin/python3", "/usr/libexec/platform-python")  # the second one: Red Hat's own
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SET_BY_SHELLS = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})

# Lines that are whole commands can be counted as they run; these make a command of several lines.
_COMPOUND_WORDS = frozenset(
    {
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "for",
        "while",
        "until",
        "do",
        "done",
        "case",
        "esac",
        "select",
        "function",
        "{",
        "}",
        "(",
        ")",
        "!",
    }
)
_COMPOUND_TEXT = re.compile(r"<<|[({\\;&|]\s*\Z|\A\s*[)}]|;;|\$\(|`|\n")

_ON_SETUP_END = (
    "trap 'code=$?; trap - EXIT; "
    'echo "pilot: setup failed in line $pilot_line: exit code $code" >&2; '
    f"exit {SETUP_FAILED}' EXIT"
)


@dataclass(frozen=True)
class ScriptFacts:
    """What a job script is made of. Paths are absolute, and those of the target.

    Attributes:
        pilot: The pilot's id.
        version: Of the agent.
        bundle: The agent in one file.
        settings: What the agent is told.
        least_python: The oldest Python that the bundle runs on.
        environment: Variables, for the setup, the agent and its units.
        setup: Shell lines of the user's.
        python: The interpreter; ``~`` and ``$NAME`` are expanded on the target. Empty: the first one that fits.
    """

    pilot: str
    version: str
    bundle: str
    settings: str
    least_python: tuple[int, int]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    setup: Sequence[str] = ()
    python: str = ""


def render(facts: ScriptFacts) -> str:
    """Return the script.

    Raises:
        SubmissionError: The environment has a name that no shell can set.
    """
    parts = [
        f"#!/bin/sh\n# The job of pilot {facts.pilot}, version {facts.version}: sets up, then becomes the agent.",
        "cd /",
        _exports(facts.environment),
        _setup(facts.setup),
        _start(facts),
    ]
    return "\n\n".join(part for part in parts if part)


def explain(exit_code: int) -> str | None:
    """Return what an exit code of the script means; None for those of the agent."""
    return _EXPLANATIONS.get(exit_code)


def _exports(environment: Mapping[str, str]) -> str:
    return "\n".join(f"export {_checked(name)}={shlex.quote(value)}" for name, value in environment.items())


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or name in _SET_BY_SHELLS:
        raise SubmissionError(
            f"the environment of the description has a variable named {name!r}, which the shell of a job cannot set; "
            "use letters, digits and underscores, and none of the shell's own names"
        )
    return name


def _setup(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    return "\n".join([f"{_ON_SETUP_END}\nset -e", *_counted(lines), "", "trap - EXIT\nset +efu"])


def _counted(lines: Sequence[str]) -> Iterator[str]:
    """Yield the lines, each after one that says its number, as long as nothing can stand between them."""
    for number, line in enumerate(lines, start=1):
        if _is_whole_command(line):
            yield f"pilot_line={number}\n{line}"
            continue
        yield f"pilot_line='{number} or a later one'"
        yield from lines[number - 1 :]
        return


def _is_whole_command(line: str) -> bool:
    """Return whether a line is sure to be a command of its own, so that another one may stand before it."""
    if _COMPOUND_TEXT.search(line) or line.count("(") != line.count(")"):
        return False
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a quotation goes on in the next line
        return False
    return _COMPOUND_WORDS.isdisjoint(words)


def _start(facts: ScriptFacts) -> str:
    major, minor = facts.least_python
    given = {
        "pilot_least": f"({major}, {minor})",
        "pilot_least_shown": f"{major}.{minor}",
        "pilot_bundle": facts.bundle,
        "pilot_settings": facts.settings,
        "pilot_is_found": "no" if facts.python else "yes",
    }
    assignments = [f"{name}={shlex.quote(value)}" for name, value in given.items()]
    candidates = [shell_word(facts.python)] if facts.python else _interpreters(facts.least_python)
    return "\n".join(["unset IFS", *assignments, f"set -- {' '.join(candidates)}", _ending()])


def _interpreters(least: tuple[int, int]) -> list[str]:
    major, minor = least
    named = [f"python{major}.{number}" for number in range(_NEWEST_MINOR, minor - 1, -1)]
    return [f"python{major}", *named, *_LAST_RESORTS]


@cache
def _ending() -> str:
    return Path(__file__).with_name("shell").joinpath("start_agent.sh").read_text("utf-8")
