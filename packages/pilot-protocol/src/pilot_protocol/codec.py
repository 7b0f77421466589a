"""Values to bytes and back: compact JSON, ASCII only.

Escaping everything outside ASCII lets any text of the user pass, also bytes that are not UTF-8 and reached us as lone
surrogates (PEP 383). Nothing is ever unpickled or evaluated.
"""

from __future__ import annotations

import json
from typing import Any

from .errors import ProtocolError

LIMIT_BYTES = 8 * 1024 * 1024
"""Largest record, in bytes: a description may be 1 MiB of text, which escaping can make six times as long."""

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, check_circular=False).encode
_decode = json.JSONDecoder().decode


def encode(value: Any) -> bytes:
    """Return ``value`` as compact JSON bytes."""
    return _encode(value).encode("ascii")


def decode(record: bytes) -> Any:
    """Return the value in ``record``.

    Raises:
        ProtocolError: The record is too large, not UTF-8, not JSON, or nested beyond reason.
    """
    if len(record) > LIMIT_BYTES:
        raise ProtocolError(f"a record of {len(record)} bytes was refused; at most {LIMIT_BYTES} are read")
    try:
        return _decode(record.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a record is not JSON: {record[:60]!r}") from error


def decode_object(record: bytes) -> dict[str, Any]:
    """Return the JSON object in ``record``.

    Raises:
        ProtocolError: As :func:`decode`, or the value is not an object.
    """
    value = decode(record)
    if not isinstance(value, dict):
        raise ProtocolError(f"a record is a {type(value).__name__}, an object was expected: {record[:60]!r}")
    return value
