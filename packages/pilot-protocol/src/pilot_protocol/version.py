"""The version of the Redis protocol and the handshake between two ends.

The version is ``major.minor``. Ends of the same major interoperate: unknown fields are ignored, new fields are
optional. Another major is refused with both numbers in the message.
"""

from __future__ import annotations

from .errors import VersionError

MAJOR = 1
MINOR = 0
PROTOCOL = f"{MAJOR}.{MINOR}"


def check_peer(theirs: str, *, who: str) -> None:
    """Refuse a peer that speaks another major version.

    Args:
        theirs: What the peer wrote, as ``major.minor``.
        who: The peer, for the message: ``"session s-…"``, ``"agent of pilot p-…"``.

    Raises:
        VersionError: The major versions differ, or ``theirs`` is no version at all.
    """
    major, _, minor = theirs.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        raise VersionError(f"{who} names no protocol version but {theirs!r}; it was not made by this system")
    if int(major) != MAJOR:
        raise VersionError(
            f"{who} speaks protocol {theirs}, this side speaks {PROTOCOL}; "
            "install the same major version of pilot on both sides"
        )
