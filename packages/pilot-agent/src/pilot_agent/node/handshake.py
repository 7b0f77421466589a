"""How a node and its head prove to each other that they belong to one pilot, before anything is said. Pure.

    node    -> head   HELLO: a magic word, the version, 32 random bytes
    head    -> node   the same of its own, and a proof: HMAC-SHA256 over both HELLOs
    node    -> head   its proof

Who has no key of the pilot makes no proof, learns nothing that helps to make one, and nothing of another connection can be used
again. From the key and both HELLOs follow the keys of the frames, one for each direction.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from pilot_agent.node.sealed_frames import SealedFraming

VERSION = 1
"""Of this conversation; what the frames after it say has a version of its own."""

NONCE_BYTES = 32
_MAGIC = b"pilot-node"
_PROOF_BYTES = 32
HELLO_BYTES = len(_MAGIC) + 2 + NONCE_BYTES
ANSWER_BYTES = HELLO_BYTES + _PROOF_BYTES
PROOF_BYTES = _PROOF_BYTES

_OF_HEAD, _OF_NODE, _TO_HEAD, _TO_NODE = b"head", b"node", b"to head", b"to node"


class HandshakeError(ValueError):
    """The peer does not belong to this pilot, or speaks another version."""


class Node(NamedTuple):
    """The node's part, after it has sent its HELLO."""

    key: bytes
    hello: bytes

    def prove(self, answer: bytes) -> tuple[bytes, SealedFraming]:
        """Return the proof to be sent, and the framing of what follows.

        Raises:
            HandshakeError: What answered is not the pilot's head.
        """
        theirs, proof = answer[:HELLO_BYTES], answer[HELLO_BYTES:]
        _check_hello(theirs, "head")
        said = self.hello + theirs
        _check_proof(proof, _mac(self.key, _OF_HEAD, said), "head")
        return _mac(self.key, _OF_NODE, said), SealedFraming(
            sends=_mac(self.key, _TO_HEAD, said), receives=_mac(self.key, _TO_NODE, said)
        )


class Head(NamedTuple):
    """The head's part, after it has got a HELLO."""

    key: bytes
    said: bytes

    @classmethod
    def meet(cls, key: bytes, hello: bytes, nonce: bytes) -> tuple[Head, bytes]:
        """Return the head's part and the answer to be sent.

        Args:
            key: The pilot's, from `link_key`.
            hello: What the node sent.
            nonce: Random, never used before.

        Raises:
            HandshakeError: What came is no HELLO of this version.
        """
        _check_hello(hello, "node")
        own = hello_of(nonce)
        head = cls(key, hello + own)
        return head, own + _mac(key, _OF_HEAD, head.said)

    def admit(self, proof: bytes) -> SealedFraming:
        """Return the framing of what follows.

        Raises:
            HandshakeError: The node has another key.
        """
        _check_proof(proof, _mac(self.key, _OF_NODE, self.said), "node")
        return SealedFraming(
            sends=_mac(self.key, _TO_NODE, self.said), receives=_mac(self.key, _TO_HEAD, self.said)
        )


def link_key(session_key: bytes, pilot: str) -> bytes:
    """Return the key of a pilot's connections: nothing of it is of use elsewhere."""
    return _mac(session_key, b"pilot node link", pilot.encode())


def hello_of(nonce: bytes) -> bytes:
    """Return a HELLO; ``nonce`` is random and never used before."""
    return _MAGIC + VERSION.to_bytes(2, "big") + nonce


def _mac(key: bytes, purpose: bytes, content: bytes) -> bytes:
    return hmac.digest(key, purpose + b"\0" + content, "sha256")


def _check_hello(hello: bytes, who: str) -> None:
    if len(hello) != HELLO_BYTES or not hello.startswith(_MAGIC):
        raise HandshakeError(f"what came is not from a {who} of a pilot")
    version = int.from_bytes(hello[len(_MAGIC) : len(_MAGIC) + 2], "big")
    if version != VERSION:
        raise HandshakeError(
            f"the {who} speaks version {version} of the handshake, this end version {VERSION}"
        )


def _check_proof(proof: bytes, wanted: bytes, who: str) -> None:
    if not hmac.compare_digest(proof, wanted):
        raise HandshakeError(f"the {who} has another key: it belongs to another pilot or session")
