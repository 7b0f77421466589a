"""The virtual environment in which a checkout tests and shows itself: `.venv`, or $PILOT_VENV.

Imported by programs that any Python of the machine may run, so this module needs the standard library only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import run

ROOT = Path(__file__).resolve().parent.parent
FOLDER = Path(os.environ.get("PILOT_VENV") or ROOT / ".venv").absolute()
OLDEST_PYTHON = (3, 10)


@dataclass(frozen=True)
class Content:
    """What a program needs in the environment: packages of this repository, editable, and groups of tools.

    Without the wishes it works, too: they may need a compiler.
    """

    program: str
    packages: Sequence[str]
    groups: Sequence[str] = ()
    wishes: Sequence[str] = ()

    def fingerprint(self) -> str:
        """Return a hash of everything that the installed content depends on."""
        content = hashlib.sha256(f"{ROOT} {sys.version} {self.packages} {self.groups} {self.wishes}".encode())
        for folder in (".", *self.packages):
            content.update((ROOT / folder / "pyproject.toml").read_bytes())
        return content.hexdigest()


def prepare(content: Content) -> None:
    """Make the environment or bring it up to date, unless its stamp says that it is.

    Raises:
        SystemExit: This Python is too old or makes no environments, or the installation failed; the message names
            the program and says what to do.
    """
    _check_interpreter(content.program)
    stamp = FOLDER / f".{content.program}-stamp"
    wanted = content.fingerprint()
    complete = stamp.exists() and stamp.read_text(encoding="utf-8") == wanted
    if complete and executable("python").exists():
        return
    print(f"{content.program}: preparing {FOLDER}", file=sys.stderr, flush=True)
    if not executable("python").exists():
        venv.create(FOLDER, with_pip=True)
    _install(content)
    stamp.write_text(wanted, encoding="utf-8")


def executable(name: str) -> Path:
    """Return the path of a program of the environment."""
    return FOLDER / "bin" / name


def _check_interpreter(program: str) -> None:
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        found = f"{sys.executable} is {sys.version.split()[0]}"
        sys.exit(f"{program}: Python {wanted} or newer is needed, {found}")
    if importlib.util.find_spec("ensurepip") is None:
        advice = "on Debian and Ubuntu: apt install python3-venv"
        sys.exit(
            f"{program}: {sys.executable} has no ensurepip, so it makes no virtual environments; {advice}"
        )


def _install(content: Content) -> None:
    pip = [str(executable("python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    packages = [argument for folder in content.packages for argument in ("--editable", folder)]
    groups = [argument for group in content.groups for argument in ("--group", group)]
    for command in (
        [*pip, "--upgrade", "pip>=25.1"],
        [*pip, *packages, *groups],
    ):  # groups came with pip 25.1
        code = run(command, cwd=ROOT, check=False).returncode
        if code:
            print(f"{content.program}: pip failed with exit code {code}", file=sys.stderr)
            sys.exit(code)
    for wish in content.wishes:
        if run([*pip, "--editable", wish], cwd=ROOT, check=False).returncode:
            print(f"{content.program}: {wish} is not installed, what needs it is left out", file=sys.stderr)
