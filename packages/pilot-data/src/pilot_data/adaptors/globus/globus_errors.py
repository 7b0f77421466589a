"""What Globus says that went wrong, as our errors, with what to do."""

from __future__ import annotations

import globus_sdk

from pilot_data.errors import (
    AccessDeniedError,
    BusyError,
    ChecksumError,
    ConnectionLostError,
    LoginError,
    MissingFileError,
    NoSpaceError,
    TransferError,
)


class ExistsError(TransferError):
    """There is something of this name already, and Globus does not replace it."""


class NotAFolderError(TransferError):
    """What should be listed is a file."""


class ConflictError(TransferError):
    """A task that moves the same files is running."""


LOGIN = "pilot-data login globus"

_NOT_CONNECTED = "start Globus Connect Personal at the machine that holds the collection"

_CODES: tuple[tuple[str, type[TransferError], str], ...] = (
    ("notdirectory", NotAFolderError, ""),
    ("exists", ExistsError, ""),
    ("gcdisconnected", ConnectionLostError, _NOT_CONNECTED),
    ("gc_not_connected", ConnectionLostError, _NOT_CONNECTED),
    ("gcpaused", ConnectionLostError, "resume Globus Connect Personal at its machine"),
    ("gc_paused", ConnectionLostError, "resume Globus Connect Personal at its machine"),
    ("paused", BusyError, "the collection's manager has paused it; it goes on when they resume it"),
    ("quota", NoSpaceError, "remove files there, or ask the collection's manager for more"),
    ("no_space", NoSpaceError, "remove files there"),
    ("activation", LoginError, f"log in again, with the collection's id: {LOGIN} --collection ID"),
    ("credentials", LoginError, f"log in again, with the collection's id: {LOGIN} --collection ID"),
    ("auth", LoginError, f"log in again: {LOGIN}"),
    ("permission", AccessDeniedError, "ask the collection's manager for access to this path"),
    ("checksum", ChecksumError, "the copy is not the original; try again"),
    ("endpointnotfound", MissingFileError, "no collection has this id; see app.globus.org/collections"),
    ("not_found", MissingFileError, ""),
    ("notfound", MissingFileError, ""),
    ("expired", ConnectionLostError, "the deadline passed before all was moved; try again"),
    ("deadline", ConnectionLostError, "the deadline passed before all was moved; try again"),
    ("sizelimit", TransferError, "the folder holds too many files for Globus to list; divide it"),
    ("connect", ConnectionLostError, "the collection cannot be reached; try again later"),
    ("timeout", ConnectionLostError, "the collection does not answer; try again later"),
    ("externalerror", ConnectionLostError, "the collection's server failed; try again later"),
    ("endpointerror", ConnectionLostError, "the collection's server failed; try again later"),
)
"""By what a code has in it, letters lowered; the first that fits."""


def of_code(code: str, text: str) -> TransferError:
    """Return what a code of the service or of a task means.

    Args:
        code: For example ``ExternalError.DirListingFailed.GCDisconnected`` or ``PERMISSION_DENIED``.
        text: What failed, and what Globus says about it.
    """
    lowered = code.lower()
    for part, kind, advice in _CODES:
        if part in lowered:
            return kind(f"{text} ({code})" + (f"; {advice}" if advice else ""))
    return TransferError(f"{text} ({code})")


def translated(error: globus_sdk.GlobusError, what: str) -> TransferError:
    """Return what an error of the SDK means.

    Args:
        error: Of the SDK.
        what: What failed, for example ``cannot list /data at collection 1234``.
    """
    if isinstance(error, globus_sdk.NetworkError):
        return ConnectionLostError(f"{what}: Globus cannot be reached ({type(error).__name__})")
    if isinstance(error, globus_sdk.AuthAPIError):
        return _of_auth(error, what)
    if isinstance(error, globus_sdk.GlobusAPIError):
        return _of_service(error, what)
    return TransferError(f"{what}: {type(error).__name__}: {error}")


def _of_auth(error: globus_sdk.GlobusAPIError, what: str) -> TransferError:
    if error.http_status == 429 or error.http_status >= 500:
        return _busy(error, what)
    return LoginError(
        f"{what}: Globus does not accept the login any more ({error.text[:200]}); log in again: {LOGIN}"
    )


def _of_service(error: globus_sdk.GlobusAPIError, what: str) -> TransferError:
    said = " ".join((error.message or error.http_reason).split())[:500]
    if error.info.consent_required:
        return _consent(error.info.consent_required.required_scopes or [], what)
    if error.http_status == 401:
        return LoginError(f"{what}: {said}; log in again: {LOGIN}")
    if error.http_status == 409:
        return ConflictError(f"{what}: {said}")
    code = error.code or str(error.http_status)
    if error.http_status == 429 or (
        error.http_status in {500, 502, 503, 504} and "Error" not in code.replace("ServerError", "")
    ):
        return _busy(error, what)
    return of_code(code, f"{what}: {said}")


def _busy(error: globus_sdk.GlobusAPIError, what: str) -> TransferError:
    seconds = error.headers.get("Retry-After", "")
    later = f"in {seconds} s" if seconds else "later"
    return BusyError(f"{what}: Globus asks to come back {later} (HTTP {error.http_status})")


def _consent(scopes: list[str], what: str) -> TransferError:
    options = "".join(f" --scope '{scope}'" for scope in scopes)
    return LoginError(
        f"{what}: Globus wants your consent to {', '.join(scopes) or 'this'}; give it by: {LOGIN}{options}"
    )
