"""The program that makes the agent in one file, run in the environment of the tests."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parent.parent / "build_agent_bundle"


def run(cache: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PILOT_VENV": sys.prefix, "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments], env=variables, capture_output=True, text=True, check=False
    )


def test_it_makes_the_file_and_says_what_it_is(tmp_path: Path) -> None:
    output = tmp_path / "agent.pyz"
    done = run(tmp_path / "cache", "--output", output)
    data = output.read_bytes()
    said = f"{output}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")
    helped = subprocess.run([output, "--help"], capture_output=True, text=True, check=True)
    assert helped.stdout.startswith("usage: pilot-agent")


def test_without_output_it_lies_in_the_cache_folder(tmp_path: Path) -> None:
    done = run(tmp_path)
    (file,) = (tmp_path / "pilot" / "bundles").iterdir()
    assert done.stdout.startswith(f"{file}: ")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = run(tmp_path, "--output", tmp_path / "no" / "folder" / "agent.pyz")
    assert done.returncode == 1
    assert done.stderr.startswith("build_agent_bundle: [Errno 2] No such file")
