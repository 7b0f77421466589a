"""Commands that are found where a user finds them: with the settings of a login shell, if need be.

The invariant: a command that is found at once is run as it is, without reading anybody's profile.
"""

from __future__ import annotations

import shlex


def login_command(tool: str, command: str) -> str:
    """Return a command line that is run with the settings of a login shell if ``tool`` is not found without them.

    Batch systems are often put on the PATH by ``/etc/profile``, which no shell reads that is given a command over SSH.
    """
    return (
        f"LC_ALL=C; export LC_ALL; command -v {tool} >/dev/null 2>&1 && login= || login=l; "
        f'exec /bin/sh -"$login"c {shlex.quote(command)}'
    )
