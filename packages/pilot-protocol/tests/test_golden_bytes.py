"""The bytes of protocol 1 stay what they are: each record and each call is compared with a file below golden/v1.

A difference means that an end of this version and one that is already installed would not understand each other. The
files change on purpose only, together with PROTOCOL.md and, if old readers cannot read the new bytes, the major version:

    PILOT_UPDATE_GOLDEN=1 python -m pytest packages/pilot-protocol/tests/test_golden_bytes.py

writes them anew. Bytes are written as ASCII where they are, everything else as ``\\xNN``, a backslash as ``\\\\``.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest

from golden_data import DATA_UNIT, FILES, PILOT_DATA, the_data_operations, the_data_reads, the_files
from pilot_protocol import codec, data_ops, pilot_ops, reads, signing, unit_ops, unit_payloads
from pilot_protocol.data_records import FileRecord
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
from pilot_protocol.messages import ControlOrder, UnitRecord, UnitResult, seal_name
from pilot_protocol.operation import Operation, Query
from pilot_protocol.scripts import NAMES
from pilot_protocol.signing import (
    CANCEL,
    CONTROL,
    FILE,
    PILOT,
    RESULT,
    SIGNATURE_BYTES,
    TEMPLATE,
    UNIT,
    Seal,
)  # fmt: skip
from pilot_protocol.unit_ops import ClaimRequest, NewUnit, UnitReport

FOLDER = Path(__file__).parent / "golden" / "v1"
UPDATE = "PILOT_UPDATE_GOLDEN"

SESSION = "s-abcdefghijklmnop"
KEYS = Keys(SESSION)
SEAL = Seal(SESSION, bytes(range(32)))
UNITS = ["cu-abcdef-0", "cu-abcdef-1"]
PILOT_ID, SERVICE, OWNER = "p-aaaaaaaa", "pcs-aaaaaaaa", "cds-aaaaaaaa"
EPOCH, LEASE_MS = "1700000000123", 30_000
QUEUE = queue_name(OWNER, label_of(), shape_of(1, 1), 0)

RESULTS: dict[str, UnitResult] = {
    "nothing known": UnitResult(),
    "done, output captured": UnitResult(0, started_ms=1_700_000_000_000, ended_ms=1_700_000_001_500, stdout="hi\n"),
    "failed, everything known": UnitResult(
        exit_code=2, signal=None, reason="exit", message="exit code 2", started_ms=1_700_000_000_000,
        ended_ms=1_700_000_001_500, user_s=0.25, system_s=0.125, peak_memory_kb=2048, cores="0-3,8", node="n1",
        working_directory="/w", stdout=None, stderr="no\n", stdout_file="/w/out", stderr_file="/w/err",
    ),
    "killed": UnitResult(None, 9, "oom", "killed"),
    "text that is not ASCII, and bytes that are no text": UnitResult(0, stdout='grün 🙂 \udcff \0 \\ "'),
    "never started": UnitResult(reason="rejected", message="40 cores; the pilot has 4", node="n1"),
}  # fmt: skip

ORDERS = {
    "stop": ControlOrder("stop"),
    "drain": ControlOrder("drain"),
    "cancel": ControlOrder("cancel", UNITS[0]),
}

UNIT_RECORDS = {
    "waiting": b"W|0||0|3|cds-aaaaaaaa/,/1.1.0.0/0|1700000000000",
    "ready again": b"N|1||2|2|p-aaaaaaaa/dc%2F1,m/8.2.1.4096/-5|1700000000000",
    "running": b"R|12|p-aaaaaaaa|0|3|cds-aaaaaaaa/,/1.1.0.0/0|1700000000000",
    "done": b"D|1|p-aaaaaaaa|0|3|cds-aaaaaaaa/,/1.1.0.0/0|1700000000000",
}

PAYLOADS: list[dict[str, Any]] = [
    {"executable": "/bin/echo", "arguments": ["0"], "environment": {"LANG": "C"}, "retries": 1},
    {"executable": "/bin/echo", "arguments": ["1"], "environment": {"LANG": "C"}},
]


def readable(value: Any) -> Any:
    """Return a value as the files show it: bytes as text, tuples as lists."""
    if isinstance(value, bytes):
        text = value.decode("latin-1").replace("\\", "\\\\")
        return re.sub(r"[^ -~]", lambda found: f"\\x{ord(found.group()):02x}", text)
    if isinstance(value, Mapping):
        return {name: readable(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [readable(part) for part in value]
    return value


def the_keys() -> dict[str, Any]:
    """Names of keys, queues, labels and shapes."""
    per = [
        *(f"{name}:{PILOT_ID}" for name in PER_PILOT),
        *(f"{name}:{DATA_UNIT}" for name in PER_DATA_UNIT),
        *(f"{name}:{OWNER}" for name in PER_OWNER),
    ]
    return {
        "keys": [KEYS.named(name) for name in (*SINGLE, *per, f"queue:{QUEUE}")],
        "pilot": KEYS.pilot(PILOT_ID),
        "door": KEYS.door(PILOT_ID),
        "files": KEYS.files(DATA_UNIT),
        "queues": [
            QUEUE,
            queue_name(PILOT_ID, label_of("dc/1", "m,ü"), shape_of(8, 2, 1, 4096), -5),
            queue_name(OWNER, label_of(machine="m"), shape_of(64, 64), 10),
        ],
    }


def the_results() -> dict[str, Any]:
    """Results, as an agent writes them."""
    return {name: result.to_bytes() for name, result in RESULTS.items()}


def the_orders() -> dict[str, Any]:
    """Control orders, as a client writes them."""
    return {name: order.to_bytes() for name, order in ORDERS.items()}


def the_unit_records() -> dict[str, Any]:
    """Units' records as scripts write them, and what is read out of them."""
    return {
        name: {"record": record, "read": vars(UnitRecord.from_bytes(record))}
        for name, record in UNIT_RECORDS.items()
    }


def the_sealed_records() -> dict[str, Any]:
    """Sealed records; the key is the bytes 0 to 31."""
    templates, units = unit_payloads.pack(SEAL, UNITS, PAYLOADS)
    _, (alone,) = unit_payloads.pack(SEAL, UNITS[:1], PAYLOADS[:1])
    result = RESULTS["done, output captured"].to_bytes()
    return {
        "unit without template": sealed(UNIT, UNITS[0], alone),
        "units of a sweep": [sealed(UNIT, name, record) for name, record in zip(UNITS, units)],
        "template": [sealed(TEMPLATE, digest, record) for digest, record in templates.items()],
        "result": close(RESULT, seal_name(UNITS[0], 3), result),
        "cancel": close(CANCEL, UNITS[0], ORDERS["cancel"].to_bytes()),
        "control": close(CONTROL, PILOT_ID, ORDERS["stop"].to_bytes()),
        "pilot": close(
            PILOT, PILOT_ID, codec.encode({"service_url": "fork://localhost", "number_of_processes": 4})
        ),
        "Pilot-Data": close(
            signing.PILOT_DATA, PILOT_DATA, codec.encode(["pds-aaaaaaaa", {"service_url": "file:///d"}])
        ),
        "data unit": close(signing.DATA_UNIT, DATA_UNIT, codec.encode({"file_urls": ["/d/run"]})),
        "file": close(FILE, f'{DATA_UNIT}/"run/out.txt"', FILES["plain"].to_bytes()),
    }


def close(kind: bytes, name: str, payload: bytes) -> dict[str, Any]:
    """Seal a payload and show it."""
    return sealed(kind, name, SEAL.close(kind, name, payload))


def sealed(kind: bytes, name: str, record: bytes) -> dict[str, Any]:
    """Show a sealed record; it opens as what it was sealed for."""
    signature, payload = record[:SIGNATURE_BYTES], record[SIGNATURE_BYTES:]
    assert SEAL.open(kind, name, record) == payload
    return {"kind": kind, "name": name, "signature in hexadecimal": signature.hex(), "payload": payload}


def the_unit_operations() -> dict[str, Any]:
    """Scripts and arguments of what is said about units."""
    plain = NewUnit(UNITS[0], QUEUE, b"<sealed 0>")
    waiting = NewUnit(UNITS[1], QUEUE, b"<sealed 1>", 2, 0, [UNITS[0], "cu-zzzzzz-7"])
    anyway = NewUnit("cu-abcdef-2", QUEUE, b"<sealed 2>", predecessors=[UNITS[0]], run_after_failure=True)
    data = ["du-aaaaaaaaaaaa", "du-bbbbbbbbbbbb"]
    with_data = NewUnit(
        UNITS[0], QUEUE, b"<sealed 3>", predecessors=[UNITS[1]], inputs=data, outputs=["du-cccccccccccc"]
    )
    adding = NewUnit(UNITS[1], QUEUE, b"<sealed 4>", run_after_failure=True, outputs=data)
    request = ClaimRequest(PILOT_ID, EPOCH, 7, most_units=20, most_cores=4, reserve=True, control_seen=12)
    reports = [UnitReport(UNITS[0], 1, "R"), UnitReport(UNITS[1], 2, "D", b"<sealed result>")]
    return {
        "submit": unit_ops.submit(
            KEYS, "abcdef", OWNER, [plain, waiting, anyway], {"0123456789ab": b"<template>"}
        ),
        "submit with data": unit_ops.submit(KEYS, "abcdef", OWNER, [with_data, adding], {}),
        "submit without template": unit_ops.submit(KEYS, "abcdef", PILOT_ID, [plain], {}),
        "claim": unit_ops.claim(KEYS, request),
        "report": unit_ops.report(KEYS, PILOT_ID, EPOCH, reports),
        "cancel": unit_ops.cancel(KEYS, [(name, b"<sealed order>") for name in UNITS]),
    }


def the_pilot_operations() -> dict[str, Any]:
    """Scripts and arguments of what is said about sessions and pilots."""
    lost = pilot_ops.PilotEnd("Failed", "lost", "its process is gone")
    return {
        "open": pilot_ops.open_session(KEYS, "1.0", LEASE_MS),
        "open again what the server has lost": pilot_ops.open_session(KEYS, "1.0", LEASE_MS, rebuilt=True),
        "create pilot": pilot_ops.create_pilot(KEYS, PILOT_ID, SERVICE, b"<sealed description>"),
        "note placeholder": pilot_ops.note_placeholder(KEYS, PILOT_ID, b"<sealed handle>"),
        "register": pilot_ops.register(KEYS, PILOT_ID, "nonce", LEASE_MS, {"cores": 4, "label": ","}),
        "sync": pilot_ops.sync(KEYS, PILOT_ID, EPOCH, LEASE_MS, [(UNITS[0], 1), (UNITS[1], 2)]),
        "sync with empty hands": pilot_ops.sync(KEYS, PILOT_ID, EPOCH, LEASE_MS, []),
        "beat": pilot_ops.beat(KEYS, PILOT_ID, EPOCH, LEASE_MS, 12, {"cores": 4}),
        "sweep": pilot_ops.sweep(KEYS),
        "control": pilot_ops.control(KEYS, PILOT_ID, b"<sealed order>"),
        "end by its agent": pilot_ops.end(KEYS, PILOT_ID, EPOCH, pilot_ops.PilotEnd("Done", "")),
        "end by a client": pilot_ops.end(KEYS, PILOT_ID, "", lost),
        "attach": pilot_ops.attach(KEYS, SERVICE, OWNER),
        "detach": pilot_ops.attach(KEYS, SERVICE, OWNER, attached=False),
        "purge": pilot_ops.purge(KEYS),
    }


def the_reads() -> dict[str, Any]:
    """Commands of all reads."""
    of_units = (
        reads.units, reads.descriptions, reads.results, reads.reasons, reads.open_predecessors, reads.inputs,
        reads.placements,
    )  # fmt: skip
    of_sessions = (reads.counts, reads.groups, reads.pilots, reads.attachments, reads.protocol, reads.created)
    return {
        **{read.__name__: read(KEYS, UNITS) for read in of_units},
        **{read.__name__: read(KEYS) for read in (*of_sessions, reads.last_event, reads.first_event)},
        "templates": reads.templates(KEYS, ["0123456789ab"]),
        "pilot": reads.pilot(KEYS, PILOT_ID),
        "lease_end": reads.lease_end(KEYS, PILOT_ID),
        "events": reads.events(KEYS, "1700000000000-0", 5000),
    }


def call(value: Any) -> Any:
    """Return an operation or a read as the files show it; other values as they are."""
    if isinstance(value, Operation):
        return {"script": value.script, "prefix": value.prefix, "arguments": list(value.arguments)}
    return {"command": list(value.command)} if isinstance(value, Query) else value


GROUPS: dict[str, Callable[[], dict[str, Any]]] = {
    "keys": the_keys,
    "results": the_results,
    "control_orders": the_orders,
    "unit_records": the_unit_records,
    "sealed": the_sealed_records,
    "unit_operations": the_unit_operations,
    "pilot_operations": the_pilot_operations,
    "reads": the_reads,
    "files": the_files,
    "data_operations": lambda: the_data_operations(KEYS),
    "data_reads": lambda: the_data_reads(KEYS),
}


@pytest.mark.parametrize("group", GROUPS)
def test_bytes_are_what_they_were(group: str) -> None:
    made = readable({name: call(value) for name, value in GROUPS[group]().items()})
    file = FOLDER / f"{group}.json"
    if os.environ.get(UPDATE) == "1":
        file.write_text(json.dumps(made, indent=2, ensure_ascii=True) + "\n", "ascii")
    assert made == json.loads(file.read_text("ascii"))


def test_every_file_belongs_to_a_group() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(GROUPS)


def test_every_script_is_called() -> None:
    groups = (the_unit_operations(), the_pilot_operations(), the_data_operations(KEYS))
    assert {operation.script for group in groups for operation in group.values()} == set(NAMES)


@pytest.mark.parametrize(("module", "made"), [(reads, the_reads()), (data_ops, the_data_reads(KEYS))])
def test_every_read_is_made(module: ModuleType, made: dict[str, Any]) -> None:
    made_here = {
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    }
    queries = {name for name in made_here if "Query" in str(vars(module)[name].__annotations__.get("return"))}
    assert queries == set(made)


def test_golden_results_are_read_back() -> None:
    assert {name: UnitResult.from_bytes(record) for name, record in the_results().items()} == RESULTS


def test_golden_orders_are_read_back() -> None:
    assert {name: ControlOrder.from_bytes(record) for name, record in the_orders().items()} == ORDERS


def test_golden_files_are_read_back() -> None:
    read = {name: FileRecord.from_bytes(file.path, file.to_bytes()) for name, file in FILES.items()}
    assert read == FILES
