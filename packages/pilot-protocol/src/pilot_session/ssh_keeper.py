"""A master connection of OpenSSH below a small shell, its keeper, for whoever logs in with the user's own ``ssh``.

The keeper ends the master when the process that started it is gone, whatever way it went, and removes the folder of its socket.
"""

from __future__ import annotations

import os
import subprocess
from typing import IO

# The second signal is for an `ssh` that was just about to sleep when the first one came (seen with OpenSSH 9.2).
_KEEPER = (
    'exec 3<&0; "$@" </dev/null 3<&- & ssh=$!; '
    '{ read -r end; kill "$ssh"; sleep 1; kill "$ssh"; } <&3 3<&- >/dev/null 2>&1 & lifeline=$!; exec 3<&-; '
    'wait "$ssh"; code=$?; kill "$lifeline" 2>/dev/null; rm -rf -- "$0"; exit "$code"'
)


def start_keeper(command: list[str], folder: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a master connection; its standard input is the lifeline, its standard output what the master says.

    Args:
        command: Of the master, from ``ssh`` on.
        folder: Of its socket; removed at its end.
        log: For what is said on standard error.

    Raises:
        OSError: There is no process or descriptor left.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, folder, *command],
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,  # no pipe: the process of a jump host may hold it open for longer
        start_new_session=True,
        env=ssh_environment(),
    )


def ssh_environment() -> dict[str, str]:
    """Return the environment of ``ssh``: that of this process, without a window to ask questions in."""
    return {**os.environ, "SSH_ASKPASS": "/bin/false", "SSH_ASKPASS_REQUIRE": "never"}
