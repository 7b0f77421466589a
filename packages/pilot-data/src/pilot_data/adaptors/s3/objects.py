"""The requests that one bucket is asked: each a short function with types, whose errors are ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilot_data.errors import ChecksumError, ConnectionLostError, LoginError, TransferError

from .etags import header_of, is_md5
from .keys import MIB, fits_xml
from .s3_errors import told

_PAGE = 1000


@dataclass(frozen=True)
class StoredObject:
    """What a service tells of an object.

    Attributes:
        key: Of the object.
        size: Bytes.
        mtime_ns: When it was stored, nanoseconds since 1970.
        etag: Without quotes.
        metadata: Of whoever put it, names in lower case; empty in listings, which do not tell it.
        etag_is_md5: Whether an ETag that looks like an MD5 is one; that of an object under a foreign key is not.
    """

    key: str
    size: int
    mtime_ns: int
    etag: str
    metadata: Mapping[str, str]
    etag_is_md5: bool = True


class Opened:
    """The content of an object, or a range of it, as it comes."""

    def __init__(self, stored: StoredObject, body: Any, shown: str) -> None:
        self.stored = stored
        self._body = body
        self._shown = shown

    def blocks(self, size: int = MIB) -> Iterator[bytes]:
        """Yield the content, so many bytes at a time.

        Raises:
            ConnectionLostError: It ended too early.
        """
        with told(f"cannot read {self._shown}"):
            while data := self._body.read(size):
                yield data

    def close(self) -> None:
        """Let go of the connection."""
        self._body.close()


class Bucket:
    """One bucket.

    Args:
        client: Of boto3.
        name: Of the bucket.
    """

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name

    def shown(self, key: str) -> str:
        """Return how an object is called in errors."""
        return f"s3://{self.name}/{key}"

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield all objects whose keys begin so."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        with told(f"cannot list {self.shown(prefix)}"):
            for page in pages:
                if "IsTruncated" not in page:
                    raise _no_s3(self.shown(prefix))
                for found in page.get("Contents", ()):
                    yield _listed(found)

    def head(self, key: str) -> StoredObject:
        """Return what the service tells of an object."""
        with told(f"cannot read {self.shown(key)}"):
            return _answered(key, self.client.head_object(Bucket=self.name, Key=key))

    @contextmanager
    def opened(self, key: str, start: int = 0, end: int | None = None) -> Iterator[Opened]:
        """Open an object, or its bytes from ``start`` to before ``end``."""
        wanted = {} if end is None else {"Range": f"bytes={start}-{end - 1}"}
        with told(f"cannot read {self.shown(key)}"):
            answer = self.client.get_object(Bucket=self.name, Key=key, **wanted)
        if end is not None and answer["ContentLength"] != end - start:
            answer["Body"].close()
            raise ConnectionLostError(
                f"{self.shown(key)}: asked for {end - start} bytes, the service sends {answer['ContentLength']}"
            )
        opened = Opened(_answered(key, answer), answer["Body"], self.shown(key))
        try:
            yield opened
        finally:
            opened.close()

    def put(self, key: str, data: bytes, digest: bytes, metadata: Mapping[str, str]) -> None:
        """Store a content, in place of what has the key.

        Args:
            key: Where.
            data: The content.
            digest: Its MD5, which the service compares before it keeps anything.
            metadata: What to tell of it.

        Raises:
            ChecksumError: The service has kept another content, which is removed.
        """
        with told(f"cannot write {self.shown(key)}"):
            answer = self.client.put_object(
                Bucket=self.name, Key=key, Body=data, ContentMD5=header_of(digest), Metadata=dict(metadata)
            )
        etag = _bare(answer.get("ETag", ""))
        if not etag:
            raise _no_s3(self.shown(key))
        if is_md5(etag) and not has_foreign_key(answer) and etag != digest.hex():
            self.delete([key])
            raise ChecksumError(
                f"{self.shown(key)} arrived with MD5 {etag}, not {digest.hex()}; it was not kept"
            )

    def copy(self, source: Mapping[str, str], key: str) -> None:
        """Store another object's content and metadata.

        Args:
            source: Names of its ``Bucket`` and ``Key``.
            key: Where.
        """
        with told(f"cannot copy to {self.shown(key)}"):
            self.client.copy_object(Bucket=self.name, Key=key, CopySource=dict(source))

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects; missing ones are no error."""
        together = [key for key in keys if fits_xml(key)]
        for start in range(0, len(together), _PAGE):
            self._delete_page(together[start : start + _PAGE])
        for key in keys:
            if not fits_xml(key):
                with told(f"cannot remove {self.shown(key)}"):
                    self.client.delete_object(Bucket=self.name, Key=key)

    def _delete_page(self, keys: Sequence[str]) -> None:
        with told(f"cannot remove {self.shown(keys[0])} and others"):
            answer = self.client.delete_objects(
                Bucket=self.name, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        for refused in answer.get("Errors", ()):
            raise TransferError(
                f"cannot remove {self.shown(refused.get('Key', ''))}: the service refuses "
                f"({refused.get('Code', '')}: {refused.get('Message', '')})"
            )


def _listed(found: Mapping[str, Any]) -> StoredObject:
    return StoredObject(
        found["Key"], found["Size"], _nanoseconds(found["LastModified"]), _bare(found.get("ETag", "")), {}
    )


def _answered(key: str, answer: Mapping[str, Any]) -> StoredObject:
    """Return what the headers of an answer tell; of a range, too, it is the whole object's size."""
    size = answer["ContentLength"]
    if "ContentRange" in answer:
        size = int(answer["ContentRange"].rpartition("/")[2])
    # Names of headers have no case, and services write them as they like.
    metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
    return StoredObject(
        key,
        size,
        _nanoseconds(answer["LastModified"]),
        _bare(answer.get("ETag", "")),
        metadata,
        etag_is_md5=not has_foreign_key(answer),
    )


def has_foreign_key(answer: Mapping[str, Any]) -> bool:
    """Return whether an object is encrypted such that its ETag is no MD5."""
    return "SSECustomerAlgorithm" in answer or answer.get("ServerSideEncryption", "AES256") != "AES256"


def _no_s3(what: str) -> LoginError:
    return LoginError(f"{what}: what answers is no S3 service; check endpoint_url")


def _bare(etag: str) -> str:
    return etag.strip('"')


def _nanoseconds(when: datetime) -> int:
    return int(when.replace(microsecond=0).timestamp()) * 10**9 + when.microsecond * 1000
