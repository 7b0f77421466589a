"""The machine's limit: a bare posix_spawn loop in Python, nothing around it.

Started as a program it runs one loop; ``measure`` runs as many as there are cores at the same time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROGRAM = "/bin/true"


@dataclass(frozen=True)
class RawRate:
    """What bare loops reached."""

    units_per_s: float
    cpu_us_per_unit: float
    """User and system time of loops and programs together."""


def spawn_plain() -> int:
    """Start the program with the loop's own output."""
    return os.posix_spawn(PROGRAM, [PROGRAM], os.environ, setpgroup=0)


def spawn_with_files(folder: str) -> int:
    """Make a folder and two output files in it, then start the program on them."""
    os.mkdir(folder, 0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 1, f"{folder}/stdout", flags, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, f"{folder}/stderr", flags, 0o600),
    ]
    return os.posix_spawn(PROGRAM, [PROGRAM], os.environ, setpgroup=0, file_actions=actions)


def loop(units: int, in_flight: int, folder: str) -> None:
    """Start and reap ``units`` programs, ``in_flight`` at a time; with files if ``folder`` is not empty."""
    started = running = 0
    while started < units or running:
        while started < units and running < in_flight:
            if folder:
                spawn_with_files(f"{folder}/{os.getpid()}-{started}")
            else:
                spawn_plain()
            started += 1
            running += 1
        os.wait()
        running -= 1


def measure(units: int, loops: int, *, files: bool) -> RawRate:
    """Run ``loops`` loops at once, together ``units`` programs, and return what they reached."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        command = [sys.executable, __file__, "--units", str(units // loops)]
        command += ["--folder", folder] if files else []
        before = os.times()
        start = time.perf_counter()
        processes = [subprocess.Popen(command) for _ in range(loops)]
        codes = [process.wait() for process in processes]
        elapsed = time.perf_counter() - start
        after = os.times()
    if any(codes):
        raise RuntimeError(f"a raw loop failed: exit codes {codes}")
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return RawRate(units / elapsed, cpu / units * 1e6)


def main() -> None:
    """Run one loop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=5000)
    parser.add_argument("--in-flight", type=int, default=2)
    parser.add_argument(
        "--folder", default="", help="where each unit gets a folder with two files; none: no files"
    )
    options = parser.parse_args()
    loop(options.units, options.in_flight, options.folder)


if __name__ == "__main__":
    main()
