"""What the user's own OpenSSH at a host is told, so that it brings files to another host. Pure."""

from __future__ import annotations

import re

from .connection import Login

ECHO = b"sftp> "
"""How the lines begin by which ``sftp -b`` repeats a command before it does it."""

_LINE = 2047
"""Bytes that ``sftp`` reads as one line; what is behind them it would take for another command."""

_OPTIONS = "-o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=yes -o ServerAliveInterval=15"
_PLAIN = re.compile(r"[A-Za-z0-9_.:%+][A-Za-z0-9_.:%+-]*")
_SPECIAL = re.compile(rb"([^A-Za-z0-9/._\x80-\xff-])")


def sftp_command(target: Login) -> str:
    """Return what a host runs to reach another; empty where that takes a name with unusual characters.

    Any login shell reads it alike. When its standard input ends, so does all of it, also in the middle of a file.

    Args:
        target: The other host. The keys and the known hosts are those of the host that runs it.
    """
    if not (_PLAIN.fullmatch(target.host) and _PLAIN.fullmatch(target.user)):
        return ""
    host = f"[{target.host}]" if ":" in target.host else target.host
    sftp = f"env LC_ALL=C sftp -b - {_OPTIONS} -P {target.port} {target.user}@{host} 2>&1"
    return f"sh -c '(cat; kill 0) | ({sftp}; kill 0)'"


def put_line(source: bytes, target: bytes) -> bytes:
    """Return the command that brings one file, behind what is there of it; an error of one does not end the others.

    It never empties the file first: another process that brings the same one may be about to give it its name.

    Args:
        source: Absolute path at the host that runs it.
        target: Absolute path at the other host, where a file must be.
    """
    return b"-put -a %s %s\n" % (_quoted(source), _quoted(target))


def is_possible(source: bytes, target: bytes) -> bool:
    """Return whether `put_line` can name these paths."""
    return b"\n" not in source + target and len(put_line(source, target)) <= _LINE


def look_line(path: bytes) -> bytes:
    """Return the command that ends everything unless there is such a folder."""
    return b"cd %s\n" % _quoted(path)


def _quoted(path: bytes) -> bytes:
    return _SPECIAL.sub(rb"\\\1", path)
