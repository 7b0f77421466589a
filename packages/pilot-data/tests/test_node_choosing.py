"""What a mover decides without touching a file: messages, patterns, clashes, nearness, file transfers."""

from __future__ import annotations

import json

import pytest

from pilot_data.catalogue import PilotDataRecord
from pilot_data.entries import Entry
from pilot_data.errors import MissingFileError
from pilot_data.node.choosing import check_apart, chosen, listed, with_led_to
from pilot_data.node.file_transfers import FileTransfer, read
from pilot_data.node.gathering import meant
from pilot_data.node.messages import (
    Answer,
    Cancel,
    Epoch,
    Release,
    Request,
    data_unit_id,
    read_message,
    read_settings,
)
from pilot_data.node.nearness import Label, best_home, distance
from pilot_protocol.data_records import FileRecord
from pilot_protocol.errors import DescriptionError, ProtocolError
from pilot_protocol.states import State

HERE = Label("dc", "m1")
SETTINGS = {
    "session": "s-aaaaaaaaaaaaaaaa",
    "coordination_url": "redis://:pass@host",
    "key_hex": "00ff",
    "pilot": "p-aaaaaaaa",
    "label": "d%2Cc,m",
    "sandbox": "/sandbox",
    "cache_mb": 2,
    "transfers": 4,
    "fresh": True,
}


def files(*paths: str) -> list[FileRecord]:
    return [FileRecord(path, 1) for path in paths]


def store(
    name: str, datacenter: str = "", machine: str = "", size: float = 0, used: int = 0
) -> PilotDataRecord:
    description = {
        "service_url": "s3://bucket",
        "affinity_datacenter_label": datacenter,
        "affinity_machine_label": machine,
        "size": size,
    }
    return PilotDataRecord(name, "pds-aaaaaaaa", description, State.Running, used_bytes=used)


def test_settings_are_read_and_show_no_secret() -> None:
    settings = read_settings(json.dumps(SETTINGS))
    assert (settings.datacenter, settings.machine, settings.cache_bytes) == ("d,c", "m", 2_000_000)
    assert settings.key == b"\0\xff"
    assert settings.is_fresh
    assert "pass" not in repr(settings)


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", json.dumps({**SETTINGS, "key_hex": "pass"})])
def test_what_is_no_settings_is_refused_and_not_shown(line: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        read_settings(line)
    assert "pass" not in str(caught.value)


def test_messages_are_read() -> None:
    assert read_message('{"epoch": "7"}') == Epoch("7")
    assert read_message('{"do": "cancel", "unit": "cu", "attempt": 2}') == Cancel("cu", 2)
    assert read_message('{"do": "release", "unit": "cu", "attempt": 2}') == Release("cu", 2)
    said = {
        "do": "out",
        "unit": "cu",
        "attempt": 1,
        "folder": "/f",
        "data": {"du": ["*"]},
        "transfers": ["a < b"],
    }
    assert read_message(json.dumps(said)) == Request("out", "cu", 1, "/f", {"du": ("*",)}, ("a < b",))


@pytest.mark.parametrize(
    "line", ["", "{}", '{"do": "dance", "unit": "cu", "attempt": 1}', '{"do": "in"}', "7"]
)
def test_what_is_no_message_is_refused(line: str) -> None:
    with pytest.raises(ProtocolError, match="nothing that a mover is told"):
        read_message(line)


def test_an_answer_is_one_line_whatever_is_in_it() -> None:
    request = Request("in", "cu", 1, "/f", {}, ())
    line = Answer(request, "bad \n \udcff name", 3, 2).line()
    assert line.count("\n") == 1
    assert line.isascii()
    assert json.loads(line) == {
        "unit": "cu", "attempt": 1, "did": "in", "error": "bad \n \udcff name", "bytes": 3, "linked": 2,
        "stale": False,
    }  # fmt: skip


def test_a_data_unit_is_named_by_its_id_or_a_url_of_the_session() -> None:
    session, name = "s-aaaaaaaaaaaaaaaa", "du-aaaaaaaaaaaa"
    assert data_unit_id(name, session) == name
    assert data_unit_id(f"redis://host/0?session={session}&du={name}", session) == name
    for other in (
        f"redis://:pass@host/0?session=s-bbbbbbbbbbbbbbbb&du={name}",
        "du-1",
        "local:///du-aaaaaaaaaaaa",
    ):
        with pytest.raises(DescriptionError) as caught:
            data_unit_id(other, session)
        assert "pass@" not in str(caught.value)


def test_a_file_that_several_patterns_mean_comes_once() -> None:
    every = files("a.txt", "b.txt", "sub/c.txt", ".hidden")
    assert chosen("du", every, ["*.txt", "a*"]) == files("a.txt", "b.txt")
    assert chosen("du", every, ["*"]) == every
    assert chosen("du", every, ["**/*.txt"]) == files("a.txt", "b.txt", "sub/c.txt")
    assert chosen("du", every, ["sub"]) == files("sub/c.txt")
    assert chosen("du", every, ["sub/**"]) == files("sub/c.txt")


def test_a_name_that_looks_like_a_pattern_means_itself() -> None:
    assert chosen("du", files("[1].txt", "1.txt"), ["[1].txt"]) == files("[1].txt", "1.txt")


def test_links_bring_what_they_lead_to_and_no_more() -> None:
    link = [FileRecord("x", 0, link="sub/y"), FileRecord("sub/y", 0, link="../z"), FileRecord("z", 1)]
    folder = [
        FileRecord("f", 0, link="sub"),
        FileRecord("gone", 0, link="nowhere"),
        FileRecord("out", 0, link="/etc"),
    ]
    every = [*link, *folder]
    assert with_led_to(every, [link[0]]) == link
    assert {file.path for file in with_led_to(every, [folder[0]])} == {"f", "sub/y", "z"}
    assert with_led_to(every, folder[1:]) == folder[1:]
    assert with_led_to(every, [link[2]]) == [link[2]]


def test_inputs_are_apart_or_told_of() -> None:
    check_apart({"one": files("a", "b/c"), "two": files("d", "b/e")})
    check_apart({"one": [FileRecord("b", is_folder=True)], "two": files("b/e")})
    for other in ("a", "a/x"):
        with pytest.raises(
            DescriptionError, match=r"cannot be in one folder: 'a' of data unit one and .* of two"
        ):
            check_apart({"one": files("a"), "two": files(other)})


def test_an_error_lists_some_names() -> None:
    assert listed([]) == "none"
    assert listed(map(str, range(12))).endswith("'7' and 2 more")


def test_outputs_are_what_patterns_mean() -> None:
    entries = [Entry("out.txt", 1), Entry("run/1/x", 1), Entry(".secret", 1), Entry("empty", is_folder=True)]
    assert [entry.path for entry in meant(entries, ["**"], "du")] == ["out.txt", "run/1/x", "empty"]
    assert [entry.path for entry in meant(entries, ["run/**", "*.txt", "out*"], "du")] == [
        "run/1/x",
        "out.txt",
    ]
    with pytest.raises(
        MissingFileError, match=r"no output matches '\*.dat', .* data unit du; there is '.secret'"
    ):
        meant(entries, ["*.txt", "*.dat"], "du")


def test_a_pilot_data_is_near_by_its_labels() -> None:
    assert [distance(store("pd", *labels), HERE) for labels in (("dc", "m1"), ("dc", ""), ("dc", "m2"), ("", "m1"))] == [
        0, 0, 1, 2,
    ]  # fmt: skip
    assert distance(store("pd"), Label("", "")) == 0


def test_first_files_go_where_they_are_seen_then_near_then_where_most_room_is() -> None:
    seen, near = store("pd-seen", "far"), store("pd-near", "dc", "m1", 1, 900_000)
    roomy, small = store("pd-roomy", "dc", "m2"), store("pd-small", "dc", "m3", 1)
    stores = [small, roomy, near, seen]
    order = []
    while stores:
        best = best_home(stores, HERE, lambda one: one.id == "pd-seen")
        assert best is not None
        order.append(best)
        stores.remove(best)
    assert order == [seen, near, roomy, small]
    assert best_home([], HERE, lambda _one: True) is None


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("a > b", "a", "b"),
        ("a>b", "a", "b"),
        (" ssh://host/my file  >  SUBJOB_WORK_DIR ", "ssh://host/my file", "SUBJOB_WORK_DIR"),
        ("s3://bucket/out/ < out/*", "out/*", "s3://bucket/out/"),
    ],
)
def test_file_transfers_are_read(text: str, source: str, target: str) -> None:
    assert read(text) == FileTransfer(source, target)


@pytest.mark.parametrize(
    "text", ["", "a", "ssh://me:secret@host/x", "> b", "a <", "a >> b", "a > b > c", "a < b > c", " > "]
)
def test_what_is_no_file_transfer_is_refused(text: str) -> None:
    with pytest.raises(
        DescriptionError, match="'source > target' and 'target < source' are allowed"
    ) as caught:
        read(text)
    assert "secret" not in str(caught.value)
