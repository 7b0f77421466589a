"""A person logs in to Globus: opens a page, and types the code that it shows.

``python -m pilot_data.adaptors.globus.login`` does the same as ``pilot-data login globus``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import globus_sdk
from globus_sdk.scopes import GCSCollectionScopes, Scope, ScopeParseError, ScopeParser, TransferScopes

from pilot_data.errors import LoginError
from pilot_protocol.errors import PilotError

from .config import CLIENT_ID, file_of, settings
from .credentials import keep
from .globus_errors import translated


def login(
    show: Callable[[str], object],
    ask: Callable[[], str],
    *,
    profile: str = "",
    collections: Sequence[str] = (),
    scopes: Sequence[str] = (),
) -> str:
    """Let a person log in, and keep what Globus gives.

    Args:
        show: Shows the person a text with the page's address.
        ask: Returns the code that the page has shown.
        profile: Name that the login is kept under; empty for ``default``.
        collections: Ids of mapped collections whose data the login is for, too.
        scopes: What else to ask for, as the error of a missing consent says.

    Returns:
        The path of the file that keeps the login.

    Raises:
        LoginError: No application is set, or Globus does not accept the code.
        TransferError: Globus cannot be reached, or the file cannot be written.
    """
    found = settings()
    if not found.client_id:
        raise LoginError(
            f"{CLIENT_ID} is not set; register a native app at app.globus.org/settings/developers (it costs "
            "nothing and has no secret), and set this variable to its client id"
        )
    path = file_of(found.state_folder, profile)
    client = globus_sdk.NativeAppAuthClient(found.client_id)
    try:
        client.oauth2_start_flow(_wanted(collections, scopes), refresh_tokens=True)
        show(f"Open this page, log in, and copy the code that it shows:\n{client.oauth2_get_authorize_url()}")
        response = client.oauth2_exchange_code_for_tokens(ask().strip())
    except globus_sdk.GlobusError as error:
        raise translated(error, "cannot log in to Globus") from None
    finally:
        client.close()
    keep(path, found.client_id, response)
    return path


def _wanted(collections: Sequence[str], scopes: Sequence[str]) -> list[Scope]:
    transfer = TransferScopes.all
    for collection in collections:
        transfer = transfer.with_dependency(GCSCollectionScopes(collection).data_access.with_optional(True))
    try:
        more = [scope for text in scopes for scope in ScopeParser.parse(text)]
    except ScopeParseError as error:
        raise LoginError(f"the scope is none: {error}; copy it from the error that asked for it") from None
    return list(ScopeParser.merge_scopes([transfer], more))


def main(arguments: Sequence[str] | None = None) -> int:
    """Log in as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(prog="pilot-data login globus", description="Log in to Globus.")
    parser.add_argument("--profile", default="", help="name to keep the login under")
    parser.add_argument(
        "--collection", action="append", default=[], metavar="ID", help="a mapped collection to be used"
    )
    parser.add_argument("--scope", action="append", default=[], help="a consent that an error asked for")
    given = parser.parse_args(arguments)
    try:
        path = login(_shown, _typed, profile=given.profile, collections=given.collection, scopes=given.scope)
    except PilotError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    _shown(f"Logged in; kept in {path}")
    return 0


def _shown(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _typed() -> str:
    return input("Code: ")


if __name__ == "__main__":
    raise SystemExit(main())
