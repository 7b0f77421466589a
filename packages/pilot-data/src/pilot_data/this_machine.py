"""Which machine this is: paths of `file` mean something else on another one."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

MACHINE_ID = Path("/etc/machine-id")


def this_machine() -> str:
    """Return a name for this machine, ``hostname/…``; what follows the slash tells machines of one host name apart."""
    return f"{socket.gethostname()}/{_fingerprint()}"


def host_of(machine: str) -> str:
    """Return the host name of a machine."""
    return machine.partition("/")[0]


def _fingerprint() -> str:
    """Return what follows from the machine's id, which itself is nobody else's business (machine-id(5))."""
    try:
        number = MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""  # a system without one: its host name has to do
    return hashlib.sha256(b"pilot-data\0" + number).hexdigest()[:16]
