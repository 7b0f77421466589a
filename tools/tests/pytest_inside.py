"""Runs of pytest inside of a test, for what its plugins do to a whole run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1]
HANGS_AFTER = 45
"""Seconds, fewer than the limit of the test around it: then it is told where the processes are."""


def run_pytest(folder: Path, *options: str, ci: str) -> str:
    """Run the tests in ``folder`` and return what pytest prints.

    It loads the plugins in question and no others: on a busy machine, importing all of them takes too long. Its temporary
    folder is its own: in the one that all runs share, it would at its end remove whatever earlier runs have left.
    """
    (folder / "pytest.ini").write_text("[pytest]\n")
    # What pytest and its workers tell programs below them is of the run that this test is in.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    own = {"CI": ci, "PYTHONPATH": str(TOOLS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--basetemp=.temporary",
            "-p",
            "ci_skips",
            *options,
        ],
        cwd=folder,
        env={**inherited, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            return process.communicate(timeout=HANGS_AFTER)[0]
        except subprocess.TimeoutExpired:
            os.killpg(
                process.pid, signal.SIGABRT
            )  # pytest's own faulthandler prints the stack of every process
            pytest.fail(f"pytest still runs after {HANGS_AFTER} s:\n{process.communicate()[0]}")
