"""New ids: random, short, and legal in URLs, file names and Redis keys."""

from __future__ import annotations

import base64
import secrets

_LETTERS = {"s": 16, "p": 8, "pcs": 8, "cds": 8, "pds": 8, "pd": 8, "du": 12}
_GROUP_LETTERS = 6


def new_id(kind: str) -> str:
    """Return a new id, for example ``p-k3x7q2ma``.

    Args:
        kind: ``s`` (session), ``p`` (pilot), ``pd`` (Pilot-Data), ``du`` (data unit), ``pcs``, ``cds`` or ``pds``
            (services).
    """
    return f"{kind}-{_random(_LETTERS[kind])}"


def new_group() -> str:
    """Return a name for a group of compute units: those that one object of one process submits."""
    return _random(_GROUP_LETTERS)


def _random(letters: int) -> str:
    """Return random letters of the base32 alphabet (RFC 4648), five bits each."""
    return base64.b32encode(secrets.token_bytes(letters)).decode("ascii").lower()[:letters]
