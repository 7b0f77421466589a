"""URLs and paths of users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_data.locations import Location, parse
from pilot_protocol.errors import DescriptionError

HOSTS = ["host", "login.example.org", "::1", "fe80::1%eth0", "2001:db8::7"]
NAMES = (
    st.binary(min_size=1, max_size=12)
    .filter(lambda name: not {0, ord("/")} & set(name) and name not in {b".", b".."})
    .map(os.fsdecode)
) | st.sampled_from(
    ["with blank", "line\nbreak", "100%25", "%", "?x#y", "*[a]", "~me", "ünï", "日本", "-f", "a:b@c"]
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
LOCATIONS = (
    st.builds(Location, st.just("file"), path=PATHS.map("/{}".format))
    | st.builds(
        Location,
        st.just("ssh"),
        st.sampled_from(HOSTS),
        PATHS.map("/{}".format) | PATHS.map("~/{}".format) | st.sampled_from(["~", "~me/x", "/"]),
        st.sampled_from(["", "me", "me@site", "a:b"]),
        st.sampled_from([0, 22, 65535]),
    )
    | st.builds(Location, st.just("s3"), st.just("Bucket.Name"), PATHS | st.just(""))
    | st.builds(Location, st.just("globus"), st.just("0c5a-id"), PATHS.map("/{}".format))
)


@given(LOCATIONS)
def test_a_location_is_read_back_from_its_url(location: Location) -> None:
    shown = str(location)
    assert parse(shown) == location
    assert shown.isprintable()


@given(PATHS.filter(lambda path: "://" not in path and not path.startswith("~")))
def test_a_text_that_is_no_url_is_a_path_taken_literally(path: str) -> None:
    assert parse(path) == Location("file", path=f"{os.getcwd()}/{path}")


def test_tilde_is_home_in_local_paths_and_at_hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("~/x").path == f"{tmp_path}/x"
    assert parse("ssh://host/~/x").path == "~/x"
    assert parse("ssh://host/%7E/x").path == "/~/x"


def test_old_names_of_schemes_are_understood() -> None:
    assert parse("sftp://me@host:2222/x") == Location("ssh", "host", "/x", "me", 2222)
    assert parse("go://id/x").scheme == "globus"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("ssh://", "lacks a host"),
        ("s3:///key", "lacks a bucket"),
        ("globus://", "lacks the id of a collection"),
        ("ssh://host:port/x", "is no URL"),
        ("ssh://[::1/x", "is no URL"),
        ("file://elsewhere/x", "use ssh://elsewhere"),
        ("file://", "lacks a path"),
        ("ssh://host/a%00b", "zero byte"),
    ],
)
def test_what_is_no_url_is_refused(text: str, says: str) -> None:
    with pytest.raises(DescriptionError, match=says):
        parse(text, "source")


def test_a_password_is_refused_and_not_repeated() -> None:
    with pytest.raises(DescriptionError, match="holds a password") as caught:
        parse("ssh://me:geheim@host/x")
    assert "geheim" not in str(caught.value)
    assert caught.value.given is None


def test_parents_names_and_joined_paths() -> None:
    assert Location("s3", "b", "x").parent == Location("s3", "b")
    assert Location("file", path="/x").parent.path == "/"
    assert Location("ssh", "h", "~/x").parent.path == "~"
    assert Location("s3", "b").joined("x/y").path == "x/y"
    assert Location("file", path="/").joined("x").path == "/x"
    assert Location("file", path="/x").joined("").path == "/x"


@pytest.mark.parametrize(
    "url", ["/", "s3://b", "s3://b/", "ssh://h", "ssh://h/~", "ssh://h/~me", "globus://id/"]
)
def test_roots_and_homes_have_no_name(url: str) -> None:
    assert not parse(url).has_name


@pytest.mark.parametrize("url", ["/x", "s3://b/x", "ssh://h/x", "ssh://h/~/x", "/~", "s3://b/~"])
def test_what_is_in_a_folder_has_a_name(url: str) -> None:
    assert parse(url).has_name
