"""What users are told when S3 refuses."""

from __future__ import annotations

import http.server
import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pilot_data.adaptors.s3.s3_errors import UploadGoneError, translated
from pilot_data.adaptors.s3.storage import S3Storage
from pilot_data.entries import Entry, Item
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
from pilot_data.job import Job
from pilot_data.locations import Location
from pilot_data.storage import Access
from pilot_data.testing.sample_files import content, write
from pilot_data.testing.storage_fixture import failed, landed
from ports import free_port
from s3_servers import BUCKET, SECRET, RcloneServer

pytestmark = pytest.mark.usefixtures("s3_keys")


def _storage(url: str, bucket: str = BUCKET, access: Access | None = None) -> S3Storage:
    return S3Storage(Location("s3", host=bucket, path="p"), access or Access(endpoint_url=url))


def test_a_bucket_that_does_not_exist(rclone: RcloneServer, tmp_path: Path) -> None:
    storage = _storage(rclone.service.url, "nobucket")
    with pytest.raises(MissingFileError, match="no such bucket; create it, or check its name"):
        list(storage.list())
    errors = failed(storage.put_many(str(tmp_path), [write(str(tmp_path), "x", b"x")], Job()))
    assert "no such bucket" in str(errors["x"])
    storage.close()


def test_keys_that_the_service_does_not_know(rclone: RcloneServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKUNKNOWN")
    with pytest.raises(LoginError, match="does not know this access key; check the profile"):
        list(_storage(rclone.service.url).list())


def test_a_wrong_secret_is_told_without_telling_it(
    rclone: RcloneServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"wrong-{SECRET}")
    with pytest.raises(LoginError, match="secret key is not that of the access key") as told:
        list(_storage(rclone.service.url).list())
    assert SECRET not in str(told.value)
    assert SECRET not in caplog.text


def test_no_keys_at_all(rclone: RcloneServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(LoginError, match="there are no keys; check the profile"):
        list(_storage(rclone.service.url).list())


def test_a_profile_that_does_not_exist() -> None:
    with pytest.raises(LoginError, match="no such profile"):
        list(_storage("", access=Access(profile="absent")).list())


def test_a_profile_brings_its_keys_and_its_endpoint(
    rclone: RcloneServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of somebody else")
    (tmp_path / "aws-credentials").write_text(
        f"[mine]\naws_access_key_id = AKIDOFTHETESTS\naws_secret_access_key = {SECRET}\n"
    )
    (tmp_path / "aws-config").write_text(f"[profile mine]\nendpoint_url = {rclone.service.url}\n")
    storage = _storage("", access=Access(profile="mine"))
    landed(storage.put_many(str(tmp_path), [write(str(tmp_path), "x", b"x")], Job()))
    assert [entry.path for entry in storage.list()] == ["x"]
    storage.close()


def test_an_endpoint_where_nobody_listens() -> None:
    with pytest.raises(ConnectionLostError, match="nobody answers; check endpoint_url"):
        list(_storage(f"http://127.0.0.1:{free_port()}").list())


def test_an_endpoint_that_is_no_url() -> None:
    with pytest.raises(TransferError, match="endpoint_url 'nonsense' cannot be used"):
        list(_storage("nonsense").list())


def test_an_endpoint_that_does_not_speak_s3(tmp_path: Path) -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html><p>Welcome</p></html>")

        do_PUT = do_GET  # noqa: N815 - named by http.server

        def log_message(self, *_about: object) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    storage = _storage(f"http://127.0.0.1:{server.server_address[1]}")
    try:
        with pytest.raises(LoginError, match="no S3 service; check endpoint_url"):
            list(storage.list())
        with pytest.raises(LoginError, match="no S3 service; check endpoint_url"):
            list(storage.put_many(str(tmp_path), [write(str(tmp_path), "x", b"x")], Job()))
    finally:
        storage.close()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("target", ["../x", "a//b", "/x", "folder/", "a/./b", "", "ü" * 600])
def test_names_that_are_no_keys_are_refused(rclone: RcloneServer, tmp_path: Path, target: str) -> None:
    storage = _storage(rclone.service.url)
    item = replace(write(str(tmp_path), "x", b"x"), target=target)
    errors = failed(storage.put_many(str(tmp_path), [item], Job()))
    assert list(errors) == [target]
    storage.close()


def test_a_file_that_grew_is_not_put(rclone: RcloneServer, tmp_path: Path) -> None:
    storage = _storage(rclone.service.url)
    item = write(str(tmp_path), "large", content(20 << 20))
    for size in (10 << 20, 30 << 20, 5):
        errors = failed(
            storage.put_many(
                str(tmp_path), [Item(Entry("large", size=size, mtime_ns=item.entry.mtime_ns), "grown")], Job()
            )
        )
        assert "has changed since it was listed" in str(errors["grown"])
    storage.remove_many(["x"])
    with pytest.raises(MissingFileError):
        list(storage.list(["grown"]))
    storage.close()


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SlowDown", 503, BusyError),
        ("Anything", 503, BusyError),
        ("Anything", 429, BusyError),
        ("InternalError", 500, ConnectionLostError),
        ("RequestTimeout", 400, ConnectionLostError),
        ("AccessDenied", 403, AccessDeniedError),
        ("ExpiredToken", 400, LoginError),
        ("PermanentRedirect", 301, LoginError),
        ("AuthorizationHeaderMalformed", 400, LoginError),
        ("BadDigest", 400, ChecksumError),
        ("NoSuchUpload", 404, UploadGoneError),
        ("QuotaExceeded", 403, NoSpaceError),
        ("Whatever", 400, TransferError),
    ],
)
def test_what_services_say_has_a_class(code: str, status: int, kind: type[TransferError]) -> None:
    from botocore.exceptions import ClientError

    answer = {
        "Error": {"Code": code, "Message": "so it is"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error = translated(ClientError(answer, "PutObject"), "cannot write s3://b/k")
    assert type(error) is kind
    assert str(error).startswith("cannot write s3://b/k: ")
    assert str(error).endswith(f"({code}: so it is)")
    assert error.transient == (kind in {BusyError, ConnectionLostError, ChecksumError, UploadGoneError})
