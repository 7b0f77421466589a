"""What OpenSSH says when it does not get through, turned into what a user can do about it. Pure.

The invariant: the words of ``ssh`` itself stay in the message, whatever is made of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pilot_protocol.errors import SubmissionError

WORDS_SHOWN = 600
"""So many characters of what ``ssh`` said, the last ones, are in a message."""


@dataclass(frozen=True)
class _Refusal:
    """One way to fail: what ssh says, what it means, whether the same may work later."""

    sign: str
    advice: str
    transient: bool


# The first one that fits counts: behind a jump host `ssh` goes on to say that the connection was closed.
_REFUSALS = (
    _Refusal(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is not the one that known_hosts has. Ask its administrators whether it was changed; if so, type: "
        "ssh-keygen -R {host}, then log in once by hand",
        transient=False,
    ),
    _Refusal(
        "Host key verification failed|host key is known for",
        "its host key is not known yet: log in once by hand (ssh {name}) and compare the key",
        transient=False,
    ),
    _Refusal(
        "account is (?:currently )?not available",
        "the account runs no commands (its login shell is nologin); name another one: ssh://user@{host}/",
        transient=False,
    ),
    _Refusal(
        "Too many authentication failures",
        "too many keys were offered before the right one: set IdentityFile and IdentitiesOnly yes for it in "
        "~/.ssh/config",
        transient=False,
    ),
    _Refusal(
        r"Permission denied|Authentication failed",
        "it does not let us in without a question. `ssh -o BatchMode=yes {name} true` must work: load the key into the "
        "agent (ssh-add) or renew the ticket (kinit). Where a password or a second factor is wanted, open a master "
        "connection yourself before (ControlMaster and ControlPath in ~/.ssh/config); it is used then",
        transient=False,
    ),
    _Refusal(
        r"Temporary failure in name resolution",
        "its name could not be looked up just now",
        transient=True,
    ),
    _Refusal(
        r"Could not resolve hostname",
        "there is no such name: check service_url, or the Host entry in ~/.ssh/config",
        transient=False,
    ),
    _Refusal(
        r"no matching .* found|Unable to negotiate",
        "the two sides have no algorithm in common: allow one of its own for it in ~/.ssh/config (KexAlgorithms, "
        "HostKeyAlgorithms, Ciphers)",
        transient=False,
    ),
    _Refusal(
        r"administratively prohibited|port forwarding failed|forwarding request failed",
        "its SSH server does not forward: its administrators must set AllowStreamLocalForwarding yes, without "
        "DisableForwarding, in sshd_config, and the key must not have restrict or no-port-forwarding in authorized_keys",
        transient=False,
    ),
    _Refusal(
        r"[Bb]ad configuration option|Bad owner or permissions|bad configuration options|Can't open user config",
        "OpenSSH's configuration on this machine is at fault",
        transient=False,
    ),
    _Refusal(
        r"Session open refused",
        "it takes no more commands over one connection (MaxSessions)",
        transient=True,
    ),
    _Refusal(
        r"Connection refused",
        "nothing listens there: check the port in service_url; the server may also be starting",
        transient=True,
    ),
    _Refusal(
        r"timed out|[Tt]imeout",
        "it does not answer: check the network, or whether it is reached only through a jump host (ProxyJump)",
        transient=True,
    ),
    _Refusal(
        r"No route to host|Network is unreachable|Host is down",
        "the network does not lead there: check it, or use a jump host (ProxyJump)",
        transient=True,
    ),
    _Refusal(
        r"Connection (?:reset|closed|aborted)|[Bb]roken pipe|kex_exchange_identification|banner exchange",
        "it closed the connection: it may be restarting or have too many (MaxStartups)",
        transient=True,
    ),
)

_SILENCE = _Refusal("", "ssh ended without a word", transient=True)
_OTHER = _Refusal("", "try by hand: ssh -o BatchMode=yes {name} true", transient=False)


def refusal(name: str, words: str) -> SubmissionError:
    """Return the error for a machine that was not reached.

    Args:
        name: ``user@host`` or ``host``.
        words: What ``ssh`` wrote to its standard error.
    """
    kind = _kind(words)
    advice = kind.advice.format(name=name, host=name.rpartition("@")[2])
    return SubmissionError(f"{name} is not reached: {advice}{quoted(words)}", transient=kind.transient)


def quoted(words: str) -> str:
    """Return the words of a program as the end of a message; empty when it said nothing."""
    said = " / ".join(line.strip() for line in words.splitlines() if line.strip(" @\r\t"))
    return f" (ssh: {said[-WORDS_SHOWN:]})" if said else ""


def _kind(words: str) -> _Refusal:
    if not words.strip():
        return _SILENCE
    return next((kind for kind in _REFUSALS if re.search(kind.sign, words)), _OTHER)
