"""Uploads in parts, as the service knows them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pilot_data.errors import ChecksumError, TransferError

from .etags import header_of, is_md5
from .objects import Bucket, has_foreign_key
from .s3_errors import UploadGoneError, told


@dataclass(frozen=True)
class Upload:
    """An upload in parts that has not ended."""

    key: str
    id: str


@dataclass(frozen=True)
class Part:
    """A part that a service has.

    Attributes:
        number: From 1.
        size: Bytes.
        etag: As the service writes it.
    """

    number: int
    size: int
    etag: str

    def has(self, digest: bytes, size: int) -> bool:
        """Return whether it has this MD5 and size."""
        return self.size == size and self.etag.strip('"') == digest.hex()


class Uploads:
    """The uploads in parts of a bucket.

    Args:
        bucket: The bucket.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._client = bucket.client

    def under(self, prefix: str) -> Iterator[Upload]:
        """Yield all uploads whose keys begin so."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket.name, Prefix=prefix
        )
        try:
            with told(f"cannot list the uploads to {self._bucket.shown(prefix)}"):
                found = (upload for page in pages for upload in page.get("Uploads", ()))
                yield from (Upload(upload["Key"], upload["UploadId"]) for upload in found)
        except UploadGoneError:  # how rclone says that there are none
            return

    def of(self, key: str) -> list[Upload]:
        """Return the uploads of one key."""
        return [upload for upload in self.under(key) if upload.key == key]

    def begin(self, key: str, metadata: Mapping[str, str]) -> Upload:
        """Begin an upload."""
        with told(f"cannot write {self._bucket.shown(key)}"):
            answer = self._client.create_multipart_upload(
                Bucket=self._bucket.name, Key=key, Metadata=dict(metadata)
            )
        return Upload(key, answer["UploadId"])

    def parts(self, upload: Upload) -> dict[int, Part]:
        """Return the parts that an upload has, by number."""
        pages = self._client.get_paginator("list_parts").paginate(**self._named(upload))
        with told(f"cannot list the parts of {self._bucket.shown(upload.key)}"):
            return {
                found["PartNumber"]: Part(found["PartNumber"], found["Size"], found["ETag"])
                for page in pages
                for found in page.get("Parts", ())
            }

    def put(self, upload: Upload, number: int, body: Any, size: int, digest: bytes) -> Part:
        """Bring a part.

        Args:
            upload: What it is a part of.
            number: From 1.
            body: What it is read from; a file.
            size: Bytes.
            digest: MD5 that the content must have.

        Raises:
            ChecksumError: It has another.
        """
        with told(f"cannot write {self._bucket.shown(upload.key)}"):
            answer = self._client.upload_part(
                **self._named(upload),
                PartNumber=number,
                Body=body,
                ContentLength=size,
                ContentMD5=header_of(digest),
            )
        part = Part(number, size, answer["ETag"])
        if is_md5(part.etag.strip('"')) and not has_foreign_key(answer) and not part.has(digest, size):
            raise ChecksumError(
                f"{self._bucket.shown(upload.key)}: part {number} arrived with MD5 {part.etag}, not {digest.hex()}"
            )
        return part

    def copy(self, upload: Upload, number: int, source: Mapping[str, str], start: int, end: int) -> Part:
        """Bring a part from bytes of another object."""
        with told(f"cannot copy to {self._bucket.shown(upload.key)}"):
            answer = self._client.upload_part_copy(
                **self._named(upload),
                PartNumber=number,
                CopySource=dict(source),
                CopySourceRange=f"bytes={start}-{end - 1}",
            )
        etag = answer["CopyPartResult"].get("ETag", "")
        if not etag:
            raise TransferError(
                f"cannot copy to {self._bucket.shown(upload.key)}: the service does not copy objects in parts; "
                "move it through this machine"
            )
        return Part(number, end - start, etag)

    def finish(self, upload: Upload, parts: list[Part]) -> None:
        """Make the object out of its parts."""
        named = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with told(f"cannot write {self._bucket.shown(upload.key)}"):
            self._client.complete_multipart_upload(**self._named(upload), MultipartUpload={"Parts": named})

    def abort(self, upload: Upload) -> None:
        """Remove an upload and its parts; one that is not there any more is no error."""
        try:
            with told(f"cannot end the upload to {self._bucket.shown(upload.key)}"):
                self._client.abort_multipart_upload(**self._named(upload))
        except UploadGoneError:
            return

    def _named(self, upload: Upload) -> dict[str, str]:
        return {"Bucket": self._bucket.name, "Key": upload.key, "UploadId": upload.id}
