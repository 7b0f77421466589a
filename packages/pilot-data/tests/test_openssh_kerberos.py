"""A login by Kerberos, which the client that is built in cannot do."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from kerberos_realm import Realm
from pilot_data.errors import LoginError
from pilot_data.job import Job
from pilot_data.registry import open_storage
from pilot_data.storage import Access
from pilot_data.testing.sample_files import content, read_all, write
from pilot_data.testing.storage_fixture import landed
from ssh_hosts import running_host


def test_a_ticket_lets_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    realm = Realm(tmp_path)
    for name, value in realm.variables.items():
        monkeypatch.setenv(name, value)
    item = write(str(tmp_path / "here"), "file", content(1000))
    settings = ("GSSAPIAuthentication yes", "GSSAPIStrictAcceptorCheck no", "PubkeyAuthentication no")
    with realm.serving(), running_host(*settings) as host:
        host.configure_client("GSSAPIAuthentication yes")
        monkeypatch.setenv("PILOT_SSH_CONFIG", str(host.config_file))
        place = host.at(tmp_path / "store")
        with closing(open_storage(place, Access(ssh_client="openssh"))) as storage:
            with pytest.raises(LoginError, match="renew the ticket"):
                storage.free_bytes()
            realm.log_in()
            landed(storage.put_many(str(tmp_path / "here"), [item], Job()))
        with closing(open_storage(place)) as storage, pytest.raises(LoginError):
            storage.free_bytes()
        realm.log_out()
    assert read_all(str(tmp_path / "store")) == read_all(str(tmp_path / "here"))
