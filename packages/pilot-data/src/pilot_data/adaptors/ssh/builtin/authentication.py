"""Proves to a host who the user is: with keys of the agent and of files, never with passwords."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import paramiko

from pilot_data.errors import LoginError

from .ssh_config import BuiltinLogin


@dataclass
class _Offer:
    """What there is to offer.

    Attributes:
        keys: In the order in which they are tried.
        troubles: Why keys that are named are not among them.
    """

    keys: list[Any] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


def authenticate(transport: paramiko.Transport, login: BuiltinLogin) -> None:
    """Log in.

    Args:
        transport: Connected, its host key checked.
        login: Who wants in, with which keys.

    Raises:
        LoginError: No key is accepted; says what to type.
        paramiko.SSHException: The connection is lost.
    """
    agent = paramiko.Agent() if login.asks_agent else None
    try:
        offer = _offer(login, list(agent.get_keys()) if agent is not None else [])
        refusals = []
        for key in offer.keys:
            refusal = _refusal(transport, login, key)
            if not refusal:
                return
            refusals.append(refusal)
    finally:
        if agent is not None:
            agent.close()
    raise LoginError(
        f"{login.user}@{login.name} does not let us in: {'; '.join([*offer.troubles, *refusals]) or 'no key was found'}. "
        f"`{login.by_hand}` must work without a question: load the key into the agent (ssh-add), or name it "
        "(IdentityFile in ~/.ssh/config, or userkey)"
    )


def _offer(login: BuiltinLogin, of_agent: list[Any]) -> _Offer:
    """Return keys of the agent that are named, those in files, then the agent's others, if they may be offered."""
    offer = _Offer()
    named = {blob for path in login.keys for blob in _public_blobs(path)}
    offer.keys += [key for key in of_agent if key.asbytes() in named]
    held = {key.asbytes() for key in offer.keys}
    for path in login.keys:
        if not held & set(_public_blobs(path)):
            _load(path, login, offer)
    if not login.only_keys:
        offer.keys += [key for key in of_agent if key.asbytes() not in named]
    return offer


def _load(path: str, login: BuiltinLogin, offer: _Offer) -> None:
    try:
        key = paramiko.PKey.from_path(path)
        for certificate in login.certificates:
            if key.public_blob is None and certificate.startswith(path):
                key.load_certificate(certificate)
    except FileNotFoundError:
        offer.troubles.append(f"{path} does not exist")
    except OSError as error:
        offer.troubles.append(f"{path} cannot be read: {error.strerror}")
    except (TypeError, paramiko.PasswordRequiredException):
        offer.troubles.append(f"the key {path} is encrypted; type: ssh-add {path}")
    except (ValueError, paramiko.SSHException, paramiko.UnknownKeyType) as error:
        offer.troubles.append(f"{path} is no key that can be used: {error}")
    else:
        offer.keys.append(key)


def _public_blobs(path: str) -> Iterator[bytes]:
    """Yield what the agent calls a key, from the files beside it, which need no passphrase."""
    for name in (f"{path}.pub", f"{path}-cert.pub"):
        if os.path.exists(name):
            yield paramiko.pkey.PublicBlob.from_file(name).key_blob


def _refusal(transport: paramiko.Transport, login: BuiltinLogin, key: Any) -> str:
    """Return why a key does not let us in; empty when it does."""
    shown = f"{key.get_name()} {key.fingerprint}"
    try:
        further = transport.auth_publickey(login.user, key)
    except paramiko.BadAuthenticationType as error:
        raise LoginError(
            f"{login.user}@{login.name} takes no keys, only {', '.join(error.allowed_types)}; open a way in with a key"
        ) from None
    except paramiko.AuthenticationException as error:
        if transport.is_active():
            return f"{shown} was refused"
        raise LoginError(
            f"{login.user}@{login.name} closed the connection after {shown}: {error}; too many keys may have been "
            "offered: set IdentityFile and IdentitiesOnly yes for it in ~/.ssh/config"
        ) from None
    return (
        f"{shown} was accepted, and then {', '.join(further)} wanted, which only a person can give"
        if further
        else ""
    )
