"""What is said about data, as the files below golden/v1 show it."""

from __future__ import annotations

from typing import Any

from pilot_protocol import data_ops
from pilot_protocol.data_ops import Delivery, ReplicaClaim
from pilot_protocol.data_records import FileRecord, PilotDataPlace, ReplicaLetter, ReplicaRecord
from pilot_protocol.keys import Keys

PILOT_DATA, DATA_UNIT = "pd-aaaaaaaa", "du-aaaaaaaa"
OWNER = "pds-aaaaaaaa-1"

FILES = {
    "plain": FileRecord("run/out.txt", 12, 1_700_000_000_000_000_001, 0o644, "ab" * 32, part=2),
    "link": FileRecord("latest", 7, 5, 0o777, link="run/out.txt"),
    "empty folder": FileRecord("empty", 0, 5, 0o755, is_folder=True),
    "bytes that are no text": FileRecord("grün 🙂/\udcff\n|", 1, link="\udcff"),
}


def the_files() -> dict[str, Any]:
    """Files' records, before they are sealed."""
    return {
        name: {"path": data_ops.path_bytes(file.path), "record": file.to_bytes()}
        for name, file in FILES.items()
    }


def the_data_operations(keys: Keys) -> dict[str, Any]:
    """Scripts and arguments of what is said about data."""
    ended = ReplicaRecord(DATA_UNIT, PILOT_DATA, ReplicaLetter.FAILED, OWNER, 3, "disk | full: 100 %, ü\n")
    claim = ReplicaClaim(DATA_UNIT, PILOT_DATA, OWNER, 10**15, 2 * 10**15, "{used} bytes are used")
    place = PilotDataPlace("pds-aaaaaaaa", "dc%2F1,m", 10**15)
    delivery = Delivery("p-aaaaaaaa", "1700000000123", "cu-abcdef-0", 2, DATA_UNIT, PILOT_DATA)
    paths = [file.path for file in FILES.values()]
    return {
        "declare Pilot-Data": data_ops.declare_pilot_data(keys, PILOT_DATA, b"<sealed>"),
        "declare Pilot-Data at a place": data_ops.declare_pilot_data(keys, PILOT_DATA, b"<sealed>", place),
        "end Pilot-Data": data_ops.end_pilot_data(keys, PILOT_DATA, "Failed", "gone | away"),
        "declare data unit": data_ops.declare_data_unit(keys, DATA_UNIT, b"<sealed>", 2),
        "end data unit": data_ops.end_data_unit(keys, DATA_UNIT, "Canceled", ""),
        "put files": data_ops.put_files(keys, DATA_UNIT, [(file, b"<sealed>") for file in FILES.values()]),
        "deliver files": data_ops.deliver_files(keys, delivery, [(FILES["plain"], b"<sealed>")]),
        "remove files": data_ops.remove_files(keys, DATA_UNIT, paths),
        "ask": data_ops.ask_replica(keys, DATA_UNIT, PILOT_DATA),
        "claim": data_ops.claim_replica(keys, claim, 30_000),
        "renew": data_ops.renew_replica(keys, DATA_UNIT, PILOT_DATA, OWNER, 7, 30_000),
        "settle": data_ops.settle_replica(keys, ended),
        "forget": data_ops.forget_replica(keys, DATA_UNIT, PILOT_DATA),
        "read data unit": data_ops.read_data_unit(keys, DATA_UNIT),
    }


def the_data_reads(keys: Keys) -> dict[str, Any]:
    """Commands of all reads of data."""
    of_pilot_data = (data_ops.pilot_data_record, data_ops.pilot_data_state, data_ops.pilot_data_used)
    of_data_units = (
        data_ops.data_unit_record, data_ops.data_unit_state, data_ops.data_unit_bytes, data_ops.number_of_files,
        data_ops.replicas,
    )  # fmt: skip
    of_many = (data_ops.data_unit_states, data_ops.producers, data_ops.spoilt)
    return {
        **{read.__name__: read(keys, PILOT_DATA) for read in of_pilot_data},
        **{read.__name__: read(keys, DATA_UNIT) for read in of_data_units},
        **{read.__name__: read(keys, [DATA_UNIT]) for read in of_many},
        "pilot_data_places": data_ops.pilot_data_places(keys, [PILOT_DATA]),
        "asked": data_ops.asked(keys),
        "pilot_data_made": data_ops.pilot_data_made(keys),
        "data_units_made": data_ops.data_units_made(keys),
        "files": data_ops.files(keys, DATA_UNIT, 17, 500),
    }
