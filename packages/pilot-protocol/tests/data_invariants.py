"""What holds for the replica catalogue in a session's keys after every script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pilot_protocol import data_ops
from pilot_protocol.data_records import ReplicaLetter, state_of_replicas
from pilot_protocol.keys import Keys
from pilot_protocol.states import FINAL

RESERVED = 5
"""Where a replica's record says how much room it takes."""


def check_data(keys: Mapping[str, Any]) -> None:
    """Check everything; ``keys`` are the contents by names without prefix."""
    assert set(keys.get("data_units_made", ())) == set(keys.get("data_units", ()))
    assert set(keys.get("pilot_data_made", ())) == set(keys.get("pilot_data", ()))
    assert set(keys.get("data_unit_states", ())) == set(keys.get("data_units", ()))
    check_room(keys)
    check_bytes(keys)
    for data_unit, text in keys.get("data_unit_states", {}).items():
        producers = int(keys.get("producers", {}).get(data_unit, 0))
        check_state(data_unit, text, keys.get("replicas", {}).get(data_unit, ""), producers)
    check_asked(keys)
    check_producers(keys)


def check_room(keys: Mapping[str, Any]) -> None:
    """What a Pilot-Data has given away is what its replicas have; one that is Done has as much as its files."""
    reserved: Counter[str] = Counter()
    for text in keys.get("replicas", {}).values():
        for record in text.split():
            parts = record.split("|")
            reserved[parts[0]] += int(parts[RESERVED])
            if parts[1] == ReplicaLetter.DONE:
                assert parts[4] == parts[RESERVED], record
            if parts[1] in {ReplicaLetter.FAILED, ReplicaLetter.CANCELED}:
                assert parts[RESERVED] == "0", record
    assert {
        name: int(used) for name, used in keys.get("pilot_data_used", {}).items() if int(used)
    } == +reserved


def check_bytes(keys: Mapping[str, Any]) -> None:
    """A data unit has as many bytes as its files."""
    for data_unit, number in keys.get("data_unit_bytes", {}).items():
        files = keys.get(f"files:{data_unit}", {})
        assert int(number) == sum(int(record.partition("|")[0]) for record in files.values()), data_unit


def check_asked(keys: Mapping[str, Any]) -> None:
    """What somebody should make is what was asked for and nobody is to add to, and what somebody has begun."""
    wanted = set()
    for data_unit, text in keys.get("replicas", {}).items():
        if keys.get("data_unit_states", {}).get(data_unit, "").split("|")[0] in {"", *FINAL}:
            continue
        for record in text.split():
            name, letter = record.split("|")[:2]
            is_free = letter == ReplicaLetter.PENDING and data_unit not in keys.get("producers", {})
            if letter == ReplicaLetter.RUNNING or is_free:
                wanted.add(f"{data_unit} {name}")
    assert set(keys.get("asked", ())) == wanted


def check_producers(keys: Mapping[str, Any]) -> None:
    """A data unit has as many producers as units that have not ended are to add to it."""
    counted = {name: int(number) for name, number in keys.get("producers", {}).items()}
    assert counted == Counter(name for text in keys.get("outputs", {}).values() for name in text.split())


def check_state(data_unit: str, text: str, replicas: str, producers: int) -> None:
    """A state that is not final is what the replicas make of it."""
    state, wanted, _ = text.split("|")
    if state in FINAL:
        return
    records = data_ops.replicas(Keys("s"), data_unit).parse(replicas.encode())
    derived = state_of_replicas(records, int(wanted), producers)
    assert not (records or producers) or state == derived, (
        f"{data_unit} is {state}, its replicas make it {derived}"
    )
