"""Signatures over everything that an agent obeys, and over results.

A sealed record is a signature of 16 bytes, then the payload. The signature is HMAC-SHA256 (RFC 2104), truncated to
128 bits, over the protocol's major version, the session, the kind of record, its id and the payload: a record moved to
another session, unit or purpose does not open. The key has 256 bits, is made by the client, and never enters Redis.
"""

from __future__ import annotations

import hmac

from .errors import ForgedRecordError, ProtocolError
from .version import MAJOR

SIGNATURE_BYTES = 16
KEY_BYTES = 32

UNIT = b"unit"
TEMPLATE = b"template"
RESULT = b"result"
CANCEL = b"cancel"
CONTROL = b"control"
PILOT = b"pilot"
PLACEHOLDER = b"placeholder"
PILOT_DATA = b"pilot_data"
DATA_UNIT = b"data_unit"
FILE = b"file"


class Seal:
    """Signs and checks the records of one session.

    Args:
        session: The session's id.
        key: 32 secret bytes.

    Raises:
        ProtocolError: The key has another length.
    """

    def __init__(self, session: str, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ProtocolError(f"a session key has {KEY_BYTES} bytes, {len(key)} were given")
        self._key = key
        self._prefix = b"%d\0%s\0" % (MAJOR, session.encode())

    def __repr__(self) -> str:
        return "Seal(<key hidden>)"

    def _sign(self, kind: bytes, name: str, payload: bytes) -> bytes:
        text = b"%s%s\0%s\0%s" % (self._prefix, kind, name.encode(), payload)
        return hmac.digest(self._key, text, "sha256")[:SIGNATURE_BYTES]

    def close(self, kind: bytes, name: str, payload: bytes) -> bytes:
        """Return ``payload`` sealed as the record ``name`` of this ``kind``."""
        return self._sign(kind, name, payload) + payload

    def open(self, kind: bytes, name: str, record: bytes) -> bytes:
        """Return the payload of a sealed record.

        Raises:
            ForgedRecordError: The signature does not match: the record was written or moved by somebody without
                the session's key.
        """
        payload = record[SIGNATURE_BYTES:]
        if not hmac.compare_digest(self._sign(kind, name, payload), record[:SIGNATURE_BYTES]):
            raise ForgedRecordError(
                f"the {kind.decode()} record of {name} is not signed with this session's key; it was not used"
            )
        return payload
