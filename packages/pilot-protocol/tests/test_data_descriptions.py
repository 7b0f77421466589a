"""Descriptions of Pilot-Data and of data units."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot_protocol.data_descriptions import validate_data_unit, validate_pilot_data
from pilot_protocol.errors import DescriptionError

STORE = {"service_url": "file:///data/pilot"}


def test_a_pilot_data_of_bigjob() -> None:
    description = {
        "service_url": "ssh://localhost/tmp/pilot-data/",
        "size": "100",
        "affinity_datacenter_label": "eu-de-south",
        "affinity_machine_label": "",
    }
    assert validate_pilot_data(description) == {
        "service_url": "ssh://localhost/tmp/pilot-data/",
        "size": 100.0,
        "affinity_datacenter_label": "eu-de-south",
    }


@pytest.mark.parametrize("scheme", ["file", "sftp", "s3", "go", "an-adaptor-of-others"])
def test_any_scheme_may_have_an_adaptor(scheme: str) -> None:
    url = f"{scheme}://user@host/place?ep=a&path=b"
    assert validate_pilot_data({"service_url": url}) == {"service_url": url}


def test_a_storage_has_a_url() -> None:
    with pytest.raises(DescriptionError, match="'/data', which is no URL; give one like file:///data/pilot"):
        validate_pilot_data({"service_url": "/data"})
    with pytest.raises(DescriptionError, match="has no 'service_url'; give the URL of the storage"):
        validate_pilot_data({})


@pytest.mark.parametrize("key", ["service_url", "endpoint_url"])
def test_passwords_are_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(DescriptionError, match=f"{key} holds a password") as caught:
        validate_pilot_data({**STORE, key: "globus://me:hunter2@globus.org"})
    assert "hunter2" not in repr((str(caught.value), vars(caught.value)))


@pytest.mark.parametrize("content", ["-----BEGIN OPENSSH PRIVATE KEY-----", "hunter2\nhunter2"])
def test_userkey_is_a_path_and_a_key_itself_is_not_repeated(content: str) -> None:
    assert validate_pilot_data({**STORE, "userkey": Path("/home/u/.ssh/id")})["userkey"] == "/home/u/.ssh/id"
    with pytest.raises(DescriptionError, match="give the path of its file") as caught:
        validate_pilot_data({**STORE, "userkey": content})
    assert content not in repr((str(caught.value), vars(caught.value)))


def test_the_other_keys_of_a_pilot_data() -> None:
    keys = {
        "profile": "lab",
        "endpoint_url": "https://s3.lab:9000",
        "region": "eu",
        "affinity_machine_label": "m1",
    }
    assert validate_pilot_data({**STORE, **keys}) == {**STORE, **keys}


@pytest.mark.parametrize("size", [0, -1, "large", None.__class__])
def test_a_size_is_a_number_of_megabytes(size: object) -> None:
    with pytest.raises(DescriptionError, match="a number above 0"):
        validate_pilot_data({**STORE, "size": size})


def test_files_are_paths_globs_or_urls() -> None:
    files = ["/data/a.txt", Path("b"), "data/[ab]*.txt", "s3://bucket/c", "ssh://me@host/d"]
    assert validate_data_unit({"file_urls": files}) == {"file_urls": [str(file) for file in files]}


def test_a_data_unit_may_start_empty() -> None:
    assert validate_data_unit({"file_urls": []}) == {"file_urls": []}
    assert validate_data_unit({}) == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("a.txt", "file_urls is 'a.txt'; give a list of paths or URLs"),
        (["a.txt", ""], "file_urls[1] is empty"),
        (["a.txt", 3], "file_urls[1] is 3; give text"),
        (["a\0.txt"], "file_urls[0] has a NUL byte"),
        (["ssh://me:hunter2@host/d"], "file_urls[0] holds a password"),
    ],
)
def test_files_are_refused(value: object, words: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        validate_data_unit({"file_urls": value})
    assert str(caught.value).startswith(words)
    assert caught.value.key == "file_urls"


def test_the_other_keys_of_a_data_unit() -> None:
    description = {
        "number_of_replicas": "2",
        "name": "input",
        "checksum": "None",
        "affinity_datacenter_label": "eu",
    }
    assert validate_data_unit(description) == {**description, "number_of_replicas": 2, "checksum": "none"}
    with pytest.raises(DescriptionError, match="checksum is 'crc'; allowed: sha256, none"):
        validate_data_unit({"checksum": "crc"})
    with pytest.raises(DescriptionError, match="number_of_replicas is 0"):
        validate_data_unit({"number_of_replicas": 0})


def test_patterns_belong_into_file_urls() -> None:
    with pytest.warns(DeprecationWarning, match="'file_url_patterns' is ignored; .* 'file_urls'"):
        assert validate_data_unit({"file_url_patterns": ["*.txt"]}) == {}
