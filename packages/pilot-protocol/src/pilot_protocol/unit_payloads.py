r"""Descriptions of units on the wire: sealed, with the common part of a sweep sent once.

A sealed description holds ``<digest>\\n<overrides>``: the digest names the template with which the overrides, a JSON
object, are merged; it is empty for a unit that shares nothing. Templates are named by their content, so that saying a
submission twice changes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from . import codec
from .errors import DescriptionError, ProtocolError
from .signing import TEMPLATE, UNIT, Seal
from .templating import common_part, merge, overrides

_DIGEST_LETTERS = 12
_HEAD_BYTES = 64
"""Room for signature and template reference."""


def pack(
    seal: Seal, ids: Sequence[str], payloads: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, bytes], list[bytes]]:
    """Seal a batch of descriptions.

    Args:
        seal: The session's.
        ids: The units.
        payloads: Their normalized descriptions, in the same order.

    Returns:
        The sealed templates by digest (none or one), and each unit's sealed description.

    Raises:
        DescriptionError: A description is larger than agents read.
    """
    common = common_part(payloads) if len(payloads) > 1 else {}
    if not common:
        return {}, [seal.close(UNIT, name, b"\n" + _encode(payload)) for name, payload in zip(ids, payloads)]
    template = _encode(common)
    digest = hashlib.sha256(template).hexdigest()[:_DIGEST_LETTERS]
    head = digest.encode() + b"\n"
    sealed = [
        seal.close(UNIT, name, head + _encode(overrides(payload, common)))
        for name, payload in zip(ids, payloads)
    ]
    return {digest: seal.close(TEMPLATE, digest, template)}, sealed


def _encode(payload: Mapping[str, Any]) -> bytes:
    record = codec.encode(payload)
    if len(record) > codec.LIMIT_BYTES - _HEAD_BYTES:
        raise DescriptionError(
            f"a description takes {len(record)} bytes, at most {codec.LIMIT_BYTES - _HEAD_BYTES} are allowed; "
            "put long texts into a file and name it in the arguments"
        )
    return record


def template_of(record: bytes) -> str:
    """Return the digest of the template that a sealed description needs; empty when it needs none.

    The record is not checked here: :func:`unpack` does.
    """
    head, separator, _ = record[16:].partition(b"\n")
    if not separator or len(head) > _DIGEST_LETTERS:
        return ""
    return head.decode("ascii", "replace")


def open_template(seal: Seal, digest: str, record: bytes) -> dict[str, Any]:
    """Return a template's content.

    Raises:
        ForgedRecordError: It is not signed with the session's key.
        ProtocolError: It is no JSON object.
    """
    return codec.decode_object(seal.open(TEMPLATE, digest, record))


def unpack(seal: Seal, name: str, record: bytes, templates: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a unit's normalized description.

    Args:
        seal: The session's.
        name: The unit's id.
        record: Its sealed description.
        templates: Opened templates by digest.

    Raises:
        ForgedRecordError: It is not signed with the session's key, or belongs to another unit.
        ProtocolError: It cannot be read, or its template is missing.
    """
    head, separator, text = seal.open(UNIT, name, record).partition(b"\n")
    if not separator:
        raise ProtocolError(f"the description of {name} has no template reference")
    own = codec.decode_object(text)
    if not head:
        return own
    template = templates.get(head.decode("ascii", "replace"))
    if template is None:
        raise ProtocolError(f"the description of {name} needs template {head!r}, which is missing")
    return merge(template, own)
