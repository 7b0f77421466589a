"""What ``ssh`` says when it does not get through, as our errors with what a user can do about it. Pure.

The words of ``ssh`` itself stay in the message, whatever is made of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pilot_data.adaptors.ssh.connection import NO_MORE_SESSIONS, NO_SFTP
from pilot_data.errors import BusyError, ConnectionLostError, LoginError, TransferError

_SHOWN = 600
"""So many characters of what ``ssh`` said, the last ones, are in a message."""


@dataclass(frozen=True)
class _Refusal:
    """One way to fail.

    Attributes:
        sign: What ``ssh`` says.
        kind: The error that it is.
        advice: What it means; ``{name}`` is the host as the user calls it.
        transient: Whether trying again may help; None for what the kind says.
    """

    sign: str
    kind: type[TransferError]
    advice: str
    transient: bool | None = None


# The first one that fits counts: behind a jump host `ssh` goes on to say that the connection was closed.
_REFUSALS = (
    _Refusal(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key .* has changed|differs from the key for the IP",
        LoginError,
        "its host key is not the one that known_hosts has. Ask its administrators whether it was changed; if so, remove "
        "the old one (ssh-keygen -R), then log in once by hand: ssh {name}",
    ),
    _Refusal(
        r"revoked", LoginError, "its host key is marked as revoked in known_hosts"
    ),
    _Refusal(
        r"Host key verification failed|host key is known for",
        LoginError,
        "its host key is not known yet; log in once by hand and compare the key: ssh {name}",
    ),
    _Refusal(
        r"Too many authentication failures",
        LoginError,
        "too many keys were offered before the right one: set IdentityFile and IdentitiesOnly yes for it in "
        "~/.ssh/config",
    ),
    _Refusal(
        r"Permission denied|Authentication failed",
        LoginError,
        "it does not let us in without a question. `ssh -o BatchMode=yes {name} true` must work: load the key into the "
        "agent (ssh-add) or renew the ticket (kinit). Where a password, a PIN or a second factor is wanted, open a master "
        "connection yourself before (ControlMaster and ControlPath in ~/.ssh/config); it is used then",
    ),
    _Refusal(
        r"Temporary failure in name resolution", LoginError, "its name cannot be looked up just now", transient=True
    ),
    _Refusal(
        r"Could not resolve hostname", LoginError,
        "it cannot be looked up; check the URL, or Host in ~/.ssh/config",
    ),
    _Refusal(
        r"no matching .* found|Unable to negotiate", LoginError,
        "the two sides have no algorithm in common: allow one for it in ~/.ssh/config (KexAlgorithms, HostKeyAlgorithms, "
        "Ciphers)",
    ),
    _Refusal(
        r"[Bb]ad configuration option|Bad owner or permissions|Can't open user config", LoginError,
        "OpenSSH's configuration on this machine is at fault",
    ),
    _Refusal(
        r"Connection refused|timed out|[Tt]imeout|No route to host|Network is unreachable|Host is down",
        ConnectionLostError,
        "it is not reached: check the port and the network, or whether a jump host leads there (ProxyJump)",
    ),
    _Refusal(
        r"Connection (?:to \S+ )?(?:reset|closed|aborted)|[Bb]roken pipe|kex_exchange_identification|banner exchange",
        ConnectionLostError,
        "it closed the connection: it may be restarting, or have too many (MaxStartups)",
    ),
)  # fmt: skip
_SILENCE = _Refusal("", ConnectionLostError, "ssh has ended without a word")
_OTHER = _Refusal("", LoginError, "it is not entered; try by hand: ssh -o BatchMode=yes {name} true")


def refusal(name: str, words: str) -> TransferError:
    """Return the error for a host that was not entered.

    Args:
        name: As the user calls it.
        words: What ``ssh`` wrote to its standard error.
    """
    found = _found(words)
    message = f"{name}: {found.advice.format(name=name)}{quoted(words)}"
    return found.kind(message) if found.transient is None else found.kind(message, transient=found.transient)


def refusal_of_channel(name: str, words: str) -> TransferError | None:
    """Return the error for a channel that was refused; None where nothing tells that it was.

    Args:
        name: How the user calls the host.
        words: What ``ssh``, or the program there, wrote to its standard error.
    """
    if "Session open refused" in words:
        return BusyError(f"{name} {NO_MORE_SESSIONS}{quoted(words)}")
    if "subsystem request failed" in words:
        return TransferError(f"{name} {NO_SFTP}")
    return None


def quoted(words: str) -> str:
    """Return the words of a program as the end of a message; empty when it said nothing."""
    said = " / ".join(line.strip() for line in words.splitlines() if line.strip(" @\r\t"))
    return f" (ssh: {said[-_SHOWN:]})" if said else ""


def _found(words: str) -> _Refusal:
    if not words.strip():
        return _SILENCE
    return next((each for each in _REFUSALS if re.search(each.sign, words)), _OTHER)
