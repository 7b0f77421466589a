"""The SSH adaptor against OpenSSH, by each client: with programs allowed there, and with SFTP alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pilot_data.registry import open_storage
from pilot_data.storage import Access, Storage
from pilot_data.testing import StorageSuite
from pilot_data.testing.storage_fixture import names_below
from ssh_hosts import NO_EXEC, SshHost, running_host


@pytest.fixture(scope="module")
def host() -> Iterator[SshHost]:
    with running_host() as server:
        yield server


@pytest.fixture(scope="module")
def host_without_exec() -> Iterator[SshHost]:
    with running_host(*NO_EXEC) as server:
        yield server


def opened(server: SshHost, path: Path, monkeypatch: pytest.MonkeyPatch, client: str = "builtin") -> Storage:
    monkeypatch.setenv("PILOT_SSH_CONFIG", str(server.config_file))
    return open_storage(server.at(path), Access(ssh_client=client))


class TestSshStorage(StorageSuite):
    @pytest.fixture
    def storage(self, host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
        storage = opened(host, tmp_path / "store", monkeypatch)
        yield storage
        storage.close()

    def leftovers(self, storage: Storage) -> list[str]:
        return list(names_below(storage.location.path))


class TestSftpAlone(TestSshStorage):
    @pytest.fixture
    def storage(
        self, host_without_exec: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Storage]:
        storage = opened(host_without_exec, tmp_path / "store", monkeypatch)
        yield storage
        storage.close()


class TestOpenSshClient(TestSshStorage):
    @pytest.fixture
    def storage(self, host: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
        storage = opened(host, tmp_path / "store", monkeypatch, "openssh")
        yield storage
        storage.close()


class TestOpenSshClientAndSftpAlone(TestSshStorage):
    @pytest.fixture
    def storage(
        self, host_without_exec: SshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Storage]:
        storage = opened(host_without_exec, tmp_path / "store", monkeypatch, "openssh")
        yield storage
        storage.close()
