"""Names of keys and queues; the scripts know the same ones."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_protocol.keys import (
    PER_DATA_UNIT,
    PER_OWNER,
    PER_PILOT,
    SINGLE,
    Keys,
    label_of,
    queue_name,
    shape_of,
)
from pilot_protocol.scripts import NAMES, knows_flags, script
from pilot_protocol.testing.records import Queue

KEYS = Keys("s-abc")


def test_all_keys_of_a_session_have_its_prefix_and_one_cluster_slot() -> None:
    assert KEYS.prefix == "pilot:1:{s-abc}:"
    assert KEYS.named("units") == "pilot:1:{s-abc}:units"
    assert KEYS.pilot("p-abc") == "pilot:1:{s-abc}:pilot:p-abc"
    assert KEYS.door("p-abc") == "pilot:1:{s-abc}:door:p-abc"
    assert KEYS.files("du-abc") == "pilot:1:{s-abc}:files:du-abc"


def test_the_scripts_know_the_same_keys() -> None:
    source = script("purge_session", flags=False).source
    (single,) = re.findall(r"local SINGLE = \{(.*?)\}", source, re.DOTALL)
    (per_pilot,) = re.findall(r"local PER_PILOT = \{(.*?)\}", source, re.DOTALL)
    assert sorted(re.findall(r"'(\w+)'", single)) == sorted(SINGLE)
    assert sorted(re.findall(r"'(\w+):'", per_pilot)) == sorted(PER_PILOT)
    assert all(f"'{name}:' .. owner" in source for name in PER_OWNER)
    assert all(f"'{name}:' .. unit" in source for name in PER_DATA_UNIT)


@pytest.mark.parametrize("name", NAMES)
def test_scripts_write_no_other_keys(name: str) -> None:
    source = script(name, flags=False).source
    named = re.findall(r"(?:read|write|write_all|add)\('?\w+'?, '(\w+:?)'", source)
    named += re.findall(r"(?:add|any)\('(\w+)'", source)
    known = {*SINGLE, *(f"{per}:" for per in (*PER_PILOT, *PER_OWNER, *PER_DATA_UNIT, "queue"))}
    assert set(named) <= known


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_label_is_one_part_of_a_name_whatever_it_holds(datacenter: str, machine: str) -> None:
    queue = Queue.named(queue_name("cds-abc", label_of(datacenter, machine), shape_of(4, 2, 1, 512), -3))
    assert tuple(map(unquote, queue.label)) == (datacenter, machine)
    assert "|" not in queue.name
    assert " " not in queue.name


def test_a_queue_is_named_by_owner_label_shape_and_priority() -> None:
    name = queue_name("cds-abc", label_of("here", "node 1"), shape_of(8, 4, 1, 512), -3)
    assert name == "cds-abc/here,node%201/8.4.1.512/-3"
    assert Queue.named(name) == Queue(name, "cds-abc", ("here", "node%201"), (8, 4, 1, 512), -3)


@pytest.mark.parametrize("name", ["", "a/b", "cds-abc/,/1.1.0/0", "cds-abc/,/1.1.0.0/x"])
def test_what_names_no_queue_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="names no queue"):
        Queue.named(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_is_named_by_its_text(name: str) -> None:
    known, older = script(name, flags=True), script(name, flags=False)
    assert re.fullmatch("[0-9a-f]{40}", known.digest)
    assert (known.digest == older.digest) == (known.source == older.source)
    assert known.source.startswith("#!lua") == ("allow-oom" in known.source)
    assert not older.source.startswith("#!")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("6.2.14", False),
        ("7.0.0", True),
        ("7.2.4", True),
        ("10.1.0", True),
        ("6.9", False),
        ("255.255.255", True),
    ],
)
def test_script_flags_are_known_since_redis_7(version: str, expected: bool) -> None:
    assert knows_flags(version) == expected
