"""Runs radical.saga itself, without anything of ours, in a process of its own: what it does wrong must be known exactly.

Used as a program too: ``saga_guard.py URL``, and a Python body on standard input that finds ``saga``, ``service`` and
``describe``. It prints a JSON value: what the body has put into ``result``, or ``error`` with the text of what it raised.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LIMIT_S = 120.0


def run_saga(url: str, body: str, environment: Mapping[str, str], folder: Path) -> Any:
    """Run a body with radical.saga and return its ``result``; when it raises, a dict with the text as ``error``."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    variables = {**os.environ, "SHELL": "/bin/sh", **environment, "HOME": str(home)}
    variables |= {"BOX": str(folder), "TMPDIR": str(home), "RADICAL_DEFAULT_LOG_DIR": str(home)}
    done = subprocess.run(
        [sys.executable, __file__, url],
        input=textwrap.dedent(body),
        env=variables,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, f"{done.stdout}\n{done.stderr}"
    return json.loads(lines[-1].removeprefix("RESULT "))


def main() -> None:
    """Run the body of standard input."""
    import importlib

    saga = importlib.import_module("radical.saga")

    def describe(**attributes: Any) -> Any:
        description = saga.job.Description()
        for name, value in attributes.items():
            description.set_attribute(name, value)
        return description

    names: dict[str, Any] = {"saga": saga, "describe": describe, "box": os.environ["BOX"], "result": None}
    try:
        names["service"] = saga.job.Service(sys.argv[1])
        exec(sys.stdin.read(), names)  # noqa: S102 - the test's own text
        result = names["result"]
    except Exception as error:  # noqa: BLE001 - whatever radical.saga raises is the result
        result = {"error": f"{type(error).__name__}: {error}; {error.__cause__}"}
    sys.stdout.write(f"\nRESULT {json.dumps(result)}\n")
    sys.stdout.flush()
    os._exit(0)  # radical.saga's threads and shells would keep it


if __name__ == "__main__":
    main()
