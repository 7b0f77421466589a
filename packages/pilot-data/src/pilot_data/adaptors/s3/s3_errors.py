"""What S3 services and boto3 say, told as our errors, with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pilot_data.errors import (
    AccessDeniedError,
    BusyError,
    ChangedSourceError,
    ChecksumError,
    ConnectionLostError,
    LoginError,
    MissingFileError,
    NoSpaceError,
    TransferError,
)


class UploadGoneError(TransferError):
    """An upload in parts is not there any more: somebody else has finished or ended it, or the service lost it."""

    transient = True


_LOGIN = "check the profile, or the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_EXPIRED = "log in again (aws sso login), or renew the temporary keys"
_REGION = "the bucket is in another region; name it as region"
_CODES: dict[str, tuple[type[TransferError], str]] = {
    "NoSuchBucket": (
        MissingFileError,
        "there is no such bucket; create it, or check its name and endpoint_url",
    ),
    "NoSuchKey": (MissingFileError, "it is not there"),
    "404": (MissingFileError, "it is not there"),
    "NoSuchUpload": (UploadGoneError, "somebody else has ended the upload; try again"),
    "InvalidPart": (UploadGoneError, "somebody else has changed the upload; try again"),
    "AccessDenied": (AccessDeniedError, "access is denied; ask the owner of the bucket for the permission"),
    "AllAccessDisabled": (AccessDeniedError, "the bucket is closed"),
    "AccountProblem": (AccessDeniedError, "the account is closed"),
    "403": (AccessDeniedError, "access is denied; ask the owner of the bucket for the permission"),
    "InvalidAccessKeyId": (LoginError, f"the service does not know this access key; {_LOGIN}"),
    "SignatureDoesNotMatch": (LoginError, f"the secret key is not that of the access key; {_LOGIN}"),
    "401": (LoginError, f"the service does not accept the keys; {_LOGIN}"),
    "ExpiredToken": (LoginError, f"the keys are no longer valid; {_EXPIRED}"),
    "ExpiredTokenException": (LoginError, f"the keys are no longer valid; {_EXPIRED}"),
    "TokenRefreshRequired": (LoginError, f"the keys are no longer valid; {_EXPIRED}"),
    "InvalidToken": (LoginError, f"the session token is none of this service; {_EXPIRED}"),
    "RequestTimeTooSkewed": (LoginError, "the clock of this machine is wrong; set it"),
    "PermanentRedirect": (LoginError, _REGION),
    "TemporaryRedirect": (BusyError, "the bucket is new, and not known everywhere yet; try again"),
    "AuthorizationHeaderMalformed": (LoginError, _REGION),
    "IllegalLocationConstraintException": (LoginError, _REGION),
    "301": (LoginError, _REGION),
    "SlowDown": (BusyError, "the service asks for fewer requests"),
    "ServiceUnavailable": (BusyError, "the service is not available now"),
    "Throttling": (BusyError, "the service asks for fewer requests"),
    "ThrottlingException": (BusyError, "the service asks for fewer requests"),
    "RequestLimitExceeded": (BusyError, "the service asks for fewer requests"),
    "OperationAborted": (BusyError, "something else is done with it now; try again"),
    "BadDigest": (ChecksumError, "what arrived is not what was sent; it was not kept"),
    "InvalidDigest": (ChecksumError, "what arrived is not what was sent; it was not kept"),
    "XAmzContentSHA256Mismatch": (ChecksumError, "what arrived is not what was sent; it was not kept"),
    "IncompleteBody": (ConnectionLostError, "the connection ended too early"),
    "RequestTimeout": (ConnectionLostError, "the connection was too slow, and the service ended it"),
    "PreconditionFailed": (ChangedSourceError, "it changed meanwhile"),
    "412": (ChangedSourceError, "it changed meanwhile"),
    "InvalidObjectState": (AccessDeniedError, "it is archived; restore it first"),
    "QuotaExceeded": (NoSpaceError, "the quota is used up"),
    "XMinioStorageFull": (NoSpaceError, "the storage is full"),
    "507": (NoSpaceError, "the storage is full"),
}
_STATUS: dict[int, type[TransferError]] = {
    429: BusyError,
    500: ConnectionLostError,
    502: ConnectionLostError,
    503: BusyError,
    504: ConnectionLostError,
    507: NoSpaceError,
}
_NAMES: dict[str, tuple[type[TransferError], str]] = {
    "NoCredentialsError": (LoginError, f"there are no keys; {_LOGIN}"),
    "PartialCredentialsError": (LoginError, f"a part of the keys is missing; {_LOGIN}"),
    "CredentialRetrievalError": (LoginError, f"the keys cannot be had; {_EXPIRED}"),
    "ProfileNotFound": (LoginError, "there is no such profile in ~/.aws; check its name"),
    "UnauthorizedSSOTokenError": (LoginError, f"the login has ended; {_EXPIRED}"),
    "SSOTokenLoadError": (LoginError, f"there is no login; {_EXPIRED}"),
    "TokenRetrievalError": (LoginError, f"there is no login; {_EXPIRED}"),
    "SSLError": (LoginError, "the certificate is not one that this machine trusts; see AWS_CA_BUNDLE"),
    "ResponseParserError": (LoginError, "it does not answer as S3 does; check endpoint_url"),
    "EndpointConnectionError": (ConnectionLostError, "nobody answers; check endpoint_url and the network"),
}


@contextmanager
def told(what: str) -> Iterator[None]:
    """Tell errors of a block as ours.

    Args:
        what: What the block does, for example ``cannot read s3://bucket/x``.

    Raises:
        TransferError: In place of what boto3 raises.
    """
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error, ResponseParserError, HTTPError, OSError) as error:
        raise translated(error, what) from None


def translated(error: Exception, what: str) -> TransferError:
    """Return what an error of boto3, or of what it stands on, means.

    Args:
        error: Of boto3, botocore, urllib3 or a socket.
        what: What failed.
    """
    inner = getattr(error, "kwargs", {}).get("error")
    if isinstance(inner, TransferError):  # raised by what boto3 read from
        return inner
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return _of_answer(response, what)
    for kind in type(error).__mro__:
        if kind.__name__ in _NAMES:
            ours, advice = _NAMES[kind.__name__]
            return ours(f"{what}: {advice} ({error})")
    if _is_connection(error):
        return ConnectionLostError(f"{what}: the connection was lost ({error})")
    return TransferError(f"{what}: {error}")


def _of_answer(response: dict[str, Any], what: str) -> TransferError:
    said = response["Error"]
    code = str(said.get("Code", ""))
    status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    kind, advice = _CODES.get(code) or (_STATUS.get(status, TransferError), "the service refuses")
    message = str(said.get("Message", "")).strip()
    return kind(f"{what}: {advice} ({': '.join(filter(None, (code, message)))})")


def _is_connection(error: Exception) -> bool:
    """Return whether an error is one of the network, by where it comes from."""
    if isinstance(error, OSError):
        return True
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"HTTPClientError", "ConnectionError", "HTTPError", "IncompleteReadError"})
