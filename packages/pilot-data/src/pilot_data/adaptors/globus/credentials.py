"""Who asks: a person who has logged in, or an application with a secret of its own. Keeps tokens in a private file."""

from __future__ import annotations

from typing import Any

import globus_sdk
from globus_sdk.authorizers import RenewingAuthorizer
from globus_sdk.transport import RetryConfig

from pilot_data.errors import LoginError

from . import secret_file
from .config import CLIENT_ID, CLIENT_SECRET, Settings, file_of
from .globus_errors import LOGIN

TRANSFER = "transfer.api.globus.org"
"""The name of the Transfer service among Globus' services."""

_KEPT = ("access_token", "refresh_token", "expires_at_seconds", "scope")


def authorizer(profile: str, settings: Settings, retries: RetryConfig) -> RenewingAuthorizer[Any]:
    """Return what gives each call its token, and renews it.

    The first of these that there is: the application of the profile's credentials file, the application of the
    environment, the person who has logged in.

    Args:
        profile: Name; empty for the default one.
        settings: Of the environment.
        retries: How often to try again.

    Raises:
        LoginError: There is none of them, or a file is one that others may read.
        globus_sdk.GlobusError: Globus does not give a token.
    """
    path = file_of(settings.state_folder, profile)
    kept = secret_file.read(path)
    given = _application(profile, settings)
    if given is not None:
        return _of_application(*given, path, kept or {}, retries)
    if kept is None or not kept.get("refresh_token"):
        raise LoginError(
            f"nobody has logged in to Globus as {profile or 'default'!r}; run {LOGIN}, or set {CLIENT_ID} and "
            f"{CLIENT_SECRET} for an application that has access of its own"
        )
    if not kept.keys() >= {"client_id", *_KEPT}:
        raise LoginError(f"{path} does not hold all of a login; log in again: {LOGIN}")
    return _of_person(path, kept, retries)


def keep(path: str, client_id: str, response: globus_sdk.OAuthTokenResponse) -> None:
    """Write tokens into a profile's file.

    Args:
        path: Of the file.
        client_id: Of the application that they were given to.
        response: Of Globus Auth.
    """
    data = response.by_resource_server[TRANSFER]
    secret_file.write(path, {"client_id": client_id} | {name: data.get(name) for name in _KEPT})


def _application(profile: str, settings: Settings) -> tuple[str, str] | None:
    """Return id and secret; None where a person logs in."""
    path = file_of(settings.config_folder, profile)
    found = secret_file.read(path)
    if found is None:
        return (settings.client_id, settings.client_secret) if settings.client_secret else None
    if not (found.get("client_id") and found.get("client_secret")):
        raise LoginError(f"{path} lacks client_id or client_secret; both are needed")
    return str(found["client_id"]), str(found["client_secret"])


def _of_application(
    client_id: str, secret: str, path: str, kept: dict[str, Any], retries: RetryConfig
) -> RenewingAuthorizer[Any]:
    if not client_id:
        raise LoginError(f"{CLIENT_SECRET} is set and {CLIENT_ID} is not; set both, or none of them")
    is_ours = kept.get("client_id") == client_id and not kept.get("refresh_token")
    return globus_sdk.ClientCredentialsAuthorizer(
        globus_sdk.ConfidentialAppAuthClient(client_id, secret, retry_config=retries),
        globus_sdk.TransferClient.scopes.all,
        access_token=kept["access_token"] if is_ours else None,
        expires_at=kept["expires_at_seconds"] if is_ours else None,
        on_refresh=lambda response: keep(path, client_id, response),
    )


def _of_person(path: str, kept: dict[str, Any], retries: RetryConfig) -> RenewingAuthorizer[Any]:
    client_id = str(kept["client_id"])
    return globus_sdk.RefreshTokenAuthorizer(
        str(kept["refresh_token"]),
        globus_sdk.NativeAppAuthClient(client_id, retry_config=retries),
        access_token=kept["access_token"],
        expires_at=kept["expires_at_seconds"],
        on_refresh=lambda response: keep(path, client_id, response),
    )
