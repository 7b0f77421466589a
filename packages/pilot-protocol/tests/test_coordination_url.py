"""URLs of the Redis server and of the objects in it."""

from __future__ import annotations

import string
import warnings
from dataclasses import replace

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from pilot_protocol.errors import DescriptionError
from pilot_session.coordination_url import (
    KINDS,
    CoordinationUrl,
    ObjectUrl,
    check_kind,
    object_url,
    parse,
    parse_object_url,
    redact,
)

SESSION = "s-abcdefghijklmnop"
IDS = {
    "pilot": "p-abcdefgh",
    "unit": "cu-abcdef-17",
    "pcs": "pcs-abcdefgh",
    "cds": "cds-abcdefgh",
    "pds": "pds-abcdefgh",
    "pd": "pd-abcdefgh",
    "du": "du-abcdefghijkl",
}


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://localhost", CoordinationUrl("redis", "localhost", 6379)),
        ("redis://localhost/", CoordinationUrl("redis", "localhost", 6379)),
        ("redis://localhost:6380", CoordinationUrl("redis", "localhost", 6380)),
        ("redis://LocalHost:6379/3", CoordinationUrl("redis", "localhost", 6379, db=3)),
        ("redis://localhost?db=3", CoordinationUrl("redis", "localhost", 6379, db=3)),
        ("redis://:pw@h", CoordinationUrl("redis", "h", 6379, password="pw")),
        ("redis://ada:pw@h:1", CoordinationUrl("redis", "h", 1, username="ada", password="pw")),
        ("redis://ada:@h", CoordinationUrl("redis", "h", 6379, username="ada")),
        ("redis://:p%40%2F%3A%23@h", CoordinationUrl("redis", "h", 6379, password="p@/:#")),
        ("redis://:p@w@h", CoordinationUrl("redis", "h", 6379, password="p@w")),
        ("redis://[::1]:6379", CoordinationUrl("redis", "::1", 6379)),
        ("rediss://h", CoordinationUrl("rediss", "h", 6379)),
        (
            "rediss://h?ssl_ca_certs=/etc/ca.pem",
            CoordinationUrl("rediss", "h", 6379, options=(("ssl_ca_certs", "/etc/ca.pem"),)),
        ),
        ("unix:///run/redis.sock", CoordinationUrl("unix", path="/run/redis.sock")),
        ("unix:///run/a%20b?db=2", CoordinationUrl("unix", path="/run/a b", db=2)),
        ("unix://:pw@/run/redis.sock", CoordinationUrl("unix", path="/run/redis.sock", password="pw")),
        ("unix://ada:pw@/r", CoordinationUrl("unix", path="/r", username="ada", password="pw")),
    ],
)
def test_forms(url: str, expected: CoordinationUrl) -> None:
    assert parse(url) == expected
    assert parse(parse(url).full()) == expected


def test_password_in_the_place_of_the_user_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="redis://:password@host") as caught:
        url = parse("redis://s3cr%2Ft@host:6379")
    assert url == CoordinationUrl("redis", "host", 6379, password="s3cr/t")
    assert caught[0].filename == __file__
    assert "s3cr" not in str(caught[0].message)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("tcp://localhost:6379", "scheme is 'tcp'"),
        ("advert://localhost", "scheme is 'advert'"),
        ("http://localhost", "scheme is 'http'"),
        ("localhost:6379", "scheme is 'localhost'"),
        ("localhost", "scheme is ''"),
        ("", "scheme is ''"),
        ("redis://", "host is missing"),
        ("redis://:pw@", "host is missing"),
        ("redis:///3", "host is missing"),
        ("redis://h:0", "port is a number from 1 to 65535"),
        ("redis://h:65536", "port is a number from 1 to 65535"),
        ("redis://h:port", "port is a number from 1 to 65535"),
        ("redis://h/name", "database is a number"),
        ("redis://h/-1", "database is a number"),
        ("redis://h/1/2", "database is a number"),
        ("redis://h/²", "database is a number"),
        ("redis://h/1?db=2", "database is given twice"),
        ("redis://h?db=1&db=1", "given twice"),
        ("redis://h?timeout=1", "name that is not known"),
        ("redis://h?ssl_ca_certs=/etc/ca.pem", "name that is not known"),
        ("redis://h?db", "malformed"),
        ("redis://[::1", "malformed"),
        ("redis://:p#w@h", "%23"),
        ("unix://run/redis.sock", "three slashes"),
        ("unix://", "path of the socket is missing"),
        ("unix:///", "path of the socket is missing"),
    ],
)
def test_what_cannot_be_read(url: str, why: str) -> None:
    with pytest.raises(DescriptionError, match=why) as caught:
        parse(url)
    assert "redis://[user:password@]host[:port][/db]" in str(caught.value)
    assert caught.value.key == "coordination_url"


@pytest.mark.parametrize(
    "url",
    [
        "tcp://:s3cret@h",
        "tcp://s3cret@h",
        ":s3cret@h:6379",
        "redis://:s3cret@h:port",
        "redis://:s3cret@h/name",
        "redis://:s3cret/more@h",
        "redis://:s3cret#more@h",
        "redis://:s3cret?more@h",
        "redis://:more?s3cret=1@h",
        "redis://:s3cret\u2100@h",
        "redis://[:s3cret@h",
        "unix://:s3cret@host/path",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        parse(url)
    error = caught.value
    assert "s3cret" not in f"{error} {error.given!r} {error.__cause__!r}"
    assert error.__suppress_context__ or error.__context__ is None


def test_public_and_full() -> None:
    url = parse("redis://ada:p%40w@h/2")
    assert url.public() == str(url) == "redis://h:6379/2"
    assert url.full() == "redis://ada:p%40w@h:6379/2"
    assert "p@w" not in repr(url)
    assert "p%40w" not in repr(url)


def test_public_of_other_schemes() -> None:
    assert parse("unix://:pw@/run/a%20b?db=2").public() == "unix:///run/a%20b?db=2"
    assert parse("redis://[::1]").public() == "redis://[::1]:6379/0"
    assert parse("rediss://h?ssl_cert_reqs=none").public() == "rediss://h:6379/0?ssl_cert_reqs=none"


words = st.text(alphabet=string.printable + "äß€", max_size=12)
servers = st.one_of(
    st.builds(
        CoordinationUrl,
        scheme=st.sampled_from(["redis", "rediss"]),
        host=st.sampled_from(["localhost", "10.0.0.1", "::1", "node-7.cluster"]),
        port=st.integers(1, 65535),
        db=st.integers(0, 99),
        username=words,
        password=words,
    ),
    st.builds(
        CoordinationUrl,
        scheme=st.just("unix"),
        path=words.map("/run/{}".format),
        db=st.integers(0, 99),
        username=words,
        password=words,
    ),
)


@given(servers)
def test_what_is_written_is_read_again(url: CoordinationUrl) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse(url.full()) == url
        assert parse(url.public()) == CoordinationUrl(url.scheme, url.host, url.port, url.path, url.db)


@given(servers)
def test_the_client_library_reads_it_the_same_way(url: CoordinationUrl) -> None:
    pool = redis.ConnectionPool.from_url(url.full())
    settings = pool.connection_kwargs
    assert settings.get("username", "") == url.username
    assert settings.get("password", "") == url.password
    assert settings.get("db", 0) == url.db
    if url.scheme == "unix":
        assert settings["path"] == url.path
    else:
        assert (settings["host"], settings["port"]) == (url.host, url.port)


@given(servers, st.sampled_from(sorted(KINDS)))
def test_object_urls_are_read_again(url: CoordinationUrl, kind: str) -> None:
    written = object_url(url, SESSION, kind, IDS[kind])
    public = CoordinationUrl(url.scheme, url.host, url.port, url.path, url.db)
    assert parse_object_url(written) == ObjectUrl(public, SESSION, kind, IDS[kind])


def test_object_urls_as_they_look() -> None:
    tcp, socket = parse("redis://:pw@h/0"), parse("unix://:pw@/run/r.sock?db=1")
    assert (
        object_url(tcp, SESSION, "unit", "cu-abcdef-17")
        == f"redis://h:6379/0?session={SESSION}&unit=cu-abcdef-17"
    )
    assert (
        object_url(tcp, SESSION, "pilot", "p-abcdefgh")
        == f"redis://h:6379/0?session={SESSION}&pilot=p-abcdefgh"
    )
    assert object_url(socket, SESSION, "pcs", "pcs-abcdefgh") == (
        f"unix:///run/r.sock?db=1&session={SESSION}&pcs=pcs-abcdefgh"
    )


def test_object_url_with_a_password_keeps_it() -> None:
    read = parse_object_url(f"redis://:pw@h?session={SESSION}&cds=cds-abcdefgh")
    assert read.coordination.password == "pw"
    assert "pw" not in repr(read)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        f"redis://h?session={SESSION}",
        "redis://h?unit=cu-abcdef-1",
        "redis://h?session=&unit=cu-abcdef-1",
        "redis://h?session=s-1&unit=cu-abcdef-1",
        f"redis://h?session={SESSION}&unit=",
        f"redis://h?session={SESSION}&unit=p-abcdefgh",
        f"redis://h?session={SESSION}&unit=cu-abcdef-x",
        f"redis://h?session={SESSION}&unit=cu-abcdef-1%0A",
        f"redis://h?session={SESSION}&unit=cu-abcdef-1&pilot=p-abcdefgh",
        f"redis://h?session={SESSION}&job=cu-abcdef-1",
        f"redis://h?session={SESSION}&unit=cu-abcdef-1&more=1",
        f"http://h?session={SESSION}&unit=cu-abcdef-1",
        "redis://localhost/bigjob:bj-1234:localhost",
        "",
    ],
)
def test_object_urls_that_cannot_be_read(url: str) -> None:
    with pytest.raises(DescriptionError, match="cannot be read"):
        parse_object_url(url)


def test_an_id_is_no_url() -> None:
    for kind, name in IDS.items():
        with pytest.raises(DescriptionError, match=f"'{name}' is the id of a {KINDS[kind]}; give its `url`"):
            parse_object_url(name)


def test_a_url_of_another_object_than_is_wanted() -> None:
    check_kind("du-abcdefghijkl", "du", "du")
    with pytest.raises(DescriptionError, match="that of 'du-abcdefghijkl'; that of a compute unit is needed"):
        check_kind("du-abcdefghijkl", "du", "unit")


def test_no_url_for_an_unknown_kind() -> None:
    with pytest.raises(DescriptionError, match="allowed: pilot, unit, pcs, cds"):
        object_url(parse("redis://h"), SESSION, "job", "j-1")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("redis://:pw@h:1/0", "redis://:***@h:1/0"),
        ("redis://ada:pw@h", "redis://ada:***@h"),
        ("redis://pw@h", "redis://***@h"),
        ("rediss://:p@w@h", "rediss://:***@h"),
        ("valkey://:pw@h", "valkey://:***@h"),
        ("unix://:pw@/run/r", "unix://:***@/run/r"),
        ("unix:///run/a@b", "unix:///run/a@b"),
        ("redis://:p/w@h", "redis://:***@h"),
        ("redis://:/pw@h", "redis://***@h"),
        ('redis://:p"w@h', "redis://:***@h"),
        (
            "cannot reach 'redis://:pw@h:1', nor REDIS://:pw@k",
            "cannot reach 'redis://:***@h:1', nor REDIS://:***@k",
        ),
        ("https://ada:pw@h/a@b", "https://ada:***@h/a@b"),
        ("ssh://ada@h/~", "ssh://ada@h/~"),
        ("mail ada@h about redis://h:1/0", "mail ada@h about redis://h:1/0"),
        ("", ""),
    ],
)
def test_redact(text: str, redacted: str) -> None:
    assert redact(text) == redacted
    assert redact(redacted) == redacted


@given(servers, words, words)
def test_redact_hides_every_password(url: CoordinationUrl, before: str, after: str) -> None:
    password = "correct-horse-battery"
    text = f"{before} {replace(url, password=password).full()} {after}"
    assert password not in redact(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h?password=hunter2", "redis://h…"),
        ("redis://:hunter2", "redis://…"),
        ("redis://h/?foo=hunter2", "redis://h…"),
        ("redis://h/0#hunter2", "redis://h…"),
        ("redis://user:hunter2@h:0", "redis://h…"),
        (":hunter2@h", "…"),
    ],
)
def test_of_a_url_that_cannot_be_read_only_scheme_and_host_are_shown(url: str, shown: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        parse(url)
    assert f"the URL {shown!r} cannot be read" in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.given}"
