"""The program ``ssh``: where it is, and how it is run without ever asking anybody anything."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

from pilot_data.config import DataConfig
from pilot_data.errors import LoginError
from pilot_session.ssh_keeper import ssh_environment

_LIMIT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """What a program has said.

    Attributes:
        code: Its exit code; not 0 when it took too long.
        text: Its standard output.
        words: Its standard error.
    """

    code: int
    text: str
    words: str


def find_program() -> str:
    """Return the path of ``ssh``.

    Raises:
        LoginError: It is not on this machine.
    """
    found = shutil.which("ssh", path=DataConfig.from_environment().search_path)
    if found is None:
        raise LoginError(
            "the program ssh is not on the PATH of this machine: install OpenSSH's client (Debian: openssh-client), or "
            "leave the connection to the client that is built in (ssh_client: builtin)"
        )
    return found


def asked(command: list[str]) -> Answer:
    """Run a command that tells something about this machine.

    Raises:
        LoginError: It cannot be started.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LIMIT_S,
            start_new_session=True,
            env=ssh_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(-1, "", f"no answer within {_LIMIT_S:g} s")
    except OSError as error:
        raise unstartable(command[0], error) from None
    return Answer(done.returncode, *(said.decode("utf-8", "replace") for said in (done.stdout, done.stderr)))


def unstartable(program: str, error: OSError) -> LoginError:
    """Return the error for a program for which there is no process or descriptor left, or which is gone."""
    return LoginError(f"{program} cannot be started here: {error.strerror}", transient=True)
