"""boto3's client: made when it is first needed, with what keeps it from surprises."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pilot_data.errors import TransferError
from pilot_data.storage import Access

from .s3_errors import told

THREADS = 16
"""How many requests are under way at once."""

_AMAZON = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws")
_TIMEOUT_S = 60
_REGION = "us-east-1"  # what services that are not Amazon's take for any


def connect(access: Access) -> Any:
    """Return a client for S3; it may be used by many threads. Nothing is connected yet.

    Args:
        access: Profile, endpoint and region; what it does not name comes from boto3's variables and files.

    Raises:
        LoginError: There is no such profile.
        TransferError: boto3 is missing, or the endpoint is no URL.
    """
    try:
        from boto3.session import Session
    except ImportError as error:
        raise TransferError(f"S3 needs boto3 ({error}); install it: pip install boto3") from None
    with told(f"cannot use S3 at {access.endpoint_url or 'Amazon'}"):
        session = Session(profile_name=access.profile or None, region_name=access.region or None)
        client = _client(session, access, foreign=bool(access.endpoint_url))
        # The endpoint may be named by a variable or a profile as well.
        if not access.endpoint_url and not _is_amazon(client.meta.endpoint_url):
            client = _client(session, access, foreign=True)
        return client


def _client(session: Any, access: Access, *, foreign: bool) -> Any:
    from botocore.config import Config

    config = Config(
        max_pool_connections=THREADS,
        connect_timeout=_TIMEOUT_S // 3,
        read_timeout=_TIMEOUT_S,
        # What calls us tries again, and knows how long to wait. The second attempt is for connections that were kept
        # open, and that the service closed just now.
        retries={"mode": "standard", "total_max_attempts": 2},
        # We send Content-MD5, which all services check. Newer checksums are refused by some.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
        # Names of buckets are names of hosts at Amazon only.
        s3={"addressing_style": "path"} if foreign else {},
    )
    region = session.region_name or (_REGION if foreign else None)
    try:
        return session.client(
            "s3", endpoint_url=access.endpoint_url or None, region_name=region, config=config
        )
    except ValueError as error:
        raise TransferError(f"endpoint_url {access.endpoint_url!r} cannot be used: {error}") from None


def _is_amazon(endpoint: str) -> bool:
    return (urlsplit(endpoint).hostname or "").endswith(_AMAZON)
