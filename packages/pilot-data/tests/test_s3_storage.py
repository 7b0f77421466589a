"""The adaptor of S3, against two services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pilot_data.storage import Storage
from pilot_data.testing import StorageSuite
from pilot_data.testing.sample_files import HARD_NAMES
from s3_servers import RcloneServer, S3Service, stored

pytestmark = pytest.mark.usefixtures("s3_keys")


class _S3Suite(StorageSuite):
    def leftovers(self, storage: Storage) -> list[str]:
        return stored(storage)


class TestS3StorageAtRclone(_S3Suite):
    # The server shows control characters as pictures of them (␊) once it has read a folder of its disk again.
    hard_names = tuple(name for name in HARD_NAMES if not set(name) & set("\n\t\r"))

    @pytest.fixture
    def storage(self, rclone: RcloneServer) -> Iterator[Storage]:
        found = rclone.service.storage()
        yield found
        found.close()


class TestS3StorageAtMoto(_S3Suite):
    # The server finds no object whose name has a line break, put or got.
    hard_names = tuple(name for name in HARD_NAMES if "\n" not in name)
    # It answers 500, "try again later", to a part of an upload that somebody else has finished.
    test_two_that_put_the_same_file_at_once_do_not_fight = None  # type: ignore[assignment]

    @pytest.fixture
    def storage(self, moto: S3Service) -> Iterator[Storage]:
        found = moto.storage()
        yield found
        found.close()
