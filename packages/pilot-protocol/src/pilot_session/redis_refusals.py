"""What Redis's refusals mean to the user: what failed, and what to do. Pure."""

from __future__ import annotations

from pilot_protocol.errors import CoordinationError
from pilot_protocol.operation import refusal

_ADVICE = {
    "OOM": ("its memory is full", "free memory or raise maxmemory; what was accepted goes on", True),
    "MISCONF": (
        "it cannot write to its disk",
        "free space where its data lies; what was accepted goes on",
        True,
    ),
    "READONLY": ("it is a replica", "connect to the primary, or wait until the failover is over", True),
    "MASTERDOWN": ("its primary is down", "wait until the failover is over", True),
    "CLUSTERDOWN": ("its cluster is down", "wait until it is back", True),
    "NOREPLICAS": ("too few of its replicas answer", "wait until they are back", True),
    "TRYAGAIN": ("its cluster is being rearranged", "try again later", True),
    "BUSY": ("it is busy with somebody's script", "try again later", True),
    "NOAUTH": ("it wants a password", "write the URL as redis://:password@host:port", False),
    "WRONGPASS": ("user or password are wrong", "write the URL as redis://user:password@host:port", False),
    "ERR AUTH": ("it has no password", "leave the password out of the URL", False),
    "NOPERM": ("this user may not do that", "give the user the rights that the documentation lists", False),
    "MOVED": ("it is one node of a cluster", "connect to the node that holds the session", False),
}


def unreachable(place: str, detail: str) -> CoordinationError:
    """Return the error for a server that does not answer."""
    return CoordinationError(
        f"Redis at {place} cannot be reached: {detail.rstrip('.')}; start one there (redis-server), correct the URL, "
        "or leave it out to use an embedded server"
    )


def unintelligible(place: str, detail: str) -> CoordinationError:
    """Return the error for something that does not answer as Redis does."""
    return CoordinationError(
        f"what answers at {place} is no Redis server, or not one that is understood: {detail}; correct the URL",
        transient=False,
    )


def refused_login(place: str, detail: str) -> CoordinationError:
    """Return the error for a server that does not let us in."""
    if "without any password" in detail or "no password is set" in detail:
        return _advised(place, "ERR AUTH")
    return _advised(place, "WRONGPASS" if "invalid" in detail.lower() else "NOAUTH")


def refused(place: str, message: str) -> CoordinationError:
    """Return the error for an error reply: of a script of ours, or of Redis itself.

    Args:
        place: The server's URL without credentials.
        message: The reply as Redis wrote it, with its first word.
    """
    known = refusal(message)
    if known is not None:
        return known
    # Before Redis 7 the reply to a command inside a script comes wrapped: "ERR Error running script … -OOM command …".
    for word in _ADVICE:
        if message.startswith(word) or f"-{word} " in message:
            return _advised(place, word)
    return CoordinationError(f"Redis at {place} answers: {message}", transient=False)


def _advised(place: str, word: str) -> CoordinationError:
    why, advice, transient = _ADVICE[word]
    return CoordinationError(f"Redis at {place} refuses ({word}): {why}; {advice}", transient=transient)
