"""Programs that stand before ``ssh``, ``scp`` and ``sftp`` on a path, for software that calls these by name.

So a program that knows nothing of the user's settings for pilots, or of a login that is open already, uses both.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

PROGRAMS = ("ssh", "scp", "sftp")


def write_stand_ins(folder: Path, options: Sequence[str], search_path: str) -> None:
    """Write a program for each client of OpenSSH.

    Args:
        folder: Made here; to be put first on a path.
        options: Given to the client before all others, which counts, as OpenSSH takes the first value of a setting.
        search_path: Where the real clients are.
    """
    folder.mkdir(mode=0o700)
    for name in PROGRAMS:
        real = shutil.which(name, path=search_path)
        if real is None:  # who calls it hears that it is not there
            continue
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join([real, *options])} "$@"\n', encoding="utf-8")
        os.chmod(program, 0o700)
