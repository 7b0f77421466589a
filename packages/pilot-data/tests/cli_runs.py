"""Runs of the command pilot-data: in this process, or as programs of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

COMMAND = (sys.executable, "-m", "pilot_data")


@dataclass(frozen=True)
class Ran:
    """How a run went."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """The JSON objects that it has written."""
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Ran]
"""Runs it in this process with some arguments; the fixture ``ran``."""


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ran:
    """Run it in this process."""
    from pilot_data.cli.main import run

    capsys.readouterr()
    code = run(arguments)
    out, err = capsys.readouterr()
    return Ran(code, out, err)


def started(*arguments: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start it as a program of its own, in a process group of its own."""
    return subprocess.Popen(
        [*COMMAND, *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def program(*arguments: str, environment: dict[str, str] | None = None) -> Ran:
    """Run it as a program of its own."""
    ended = subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environment or {})},
    )
    return Ran(ended.returncode, ended.stdout, ended.stderr)


def one_line(text: str, *words: str) -> bool:
    """Return whether a text is one line that has these words, and no traceback."""
    return text.count("\n") == 1 and all(word in text for word in words) and "Traceback" not in text
