"""What an agent does with records that somebody without the session's key has written, moved or spoilt."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_harness import FaultBench, fault_bench
from pilot_protocol import pilot_ops, unit_ops
from pilot_protocol.keys import label_of, queue_name, shape_of
from pilot_protocol.messages import ControlOrder
from pilot_protocol.signing import CANCEL, CONTROL, SIGNATURE_BYTES, TEMPLATE, UNIT, Seal
from protocol_client import OWNER, Request

pytestmark = pytest.mark.faults

PILOT = "p-aaaaaaaa"
OTHER_KEY = b"k" * 32
GARBAGE = (b"", b"garbage", b"\xff\xfe\x00", b"0:", b"0:cu-nobody-1", b"|" * 6, b"9" * 400)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultBench]:
    with fault_bench(tmp_path) as bench:
        yield bench


def test_descriptions_that_were_forged_moved_or_spoilt_do_not_start(bench: FaultBench) -> None:
    client, trap = bench.client, bench.folder / "trap"
    good = client.submit([bench.log.payload()] * 5)
    bad = client.submit([bench.log.payload(f": {number}") for number in range(6)])
    evil = b"\n" + json.dumps({"executable": "/bin/touch", "arguments": [str(trap)]}).encode()
    descriptions = client.keys.named("descriptions")
    forged = Seal(client.keys.session, OTHER_KEY).close(UNIT, bad[0], evil)
    moved = client.redis.hget(descriptions, good[0])
    # Sealed by the client itself, but for another purpose: its seal names the kind of record.
    misused = client.seal.close(CONTROL, bad[2], evil)
    spoilt = (forged, moved, misused, b"", b"x" * SIGNATURE_BYTES, b"y" * 1000)
    for name, record in zip(bad, spoilt, strict=True):
        client.redis.hset(descriptions, name, record)
    agent = bench.start_agent()
    client.wait_for_ends([*good, *bad])
    assert client.letters(good) == ["D"] * len(good)
    assert client.letters(bad) == ["F"] * len(bad)
    assert {client.reason(name) for name in bad} == {"rejected"}
    assert bench.log.never_started(bad) == bad
    assert not trap.exists()
    assert agent.process.poll() is None


def test_a_forged_template_starts_nothing(bench: FaultBench) -> None:
    client = bench.client
    units = client.submit([bench.log.payload()] * 3)
    templates = client.keys.named("templates")
    (digest,) = client.redis.hkeys(templates)
    name = digest.decode() if isinstance(digest, bytes) else digest
    forged = Seal(client.keys.session, OTHER_KEY).close(TEMPLATE, name, b'{"executable": "/bin/true"}')
    client.redis.hset(templates, digest, forged)
    agent = bench.start_agent()
    client.wait_for_ends(units)
    assert {client.reason(name) for name in units} == {"rejected"}
    assert agent.process.poll() is None


def test_forged_orders_are_not_obeyed_and_true_ones_still_are(bench: FaultBench) -> None:
    client, gate = bench.client, bench.folder / "gate"
    agent = bench.start_agent()
    units = client.submit([bench.log.payload(f"until [ -e {gate} ]; do sleep 0.02; done")] * 2)
    client.wait(lambda seen: seen.in_state("R") == set(units))
    forger = Seal(client.keys.session, OTHER_KEY)
    for verb in ("stop", "drain"):
        order = forger.close(CONTROL, PILOT, ControlOrder(verb).to_bytes())
        client.run(pilot_ops.control(client.keys, PILOT, order))
    # Sealed for another pilot.
    moved = client.seal.close(CONTROL, "p-bbbbbbbb", ControlOrder("stop").to_bytes())
    client.run(pilot_ops.control(client.keys, PILOT, moved))
    forged = forger.close(CANCEL, units[0], ControlOrder("cancel", units[0]).to_bytes())
    assert client.run(unit_ops.cancel(client.keys, [(units[0], forged)])) == unit_ops.ASKED
    client.redis.rpush(client.keys.named(f"control:{PILOT}"), *GARBAGE, b"1 garbage")
    client.redis.rpush(client.keys.door(PILOT), b"control", b"\xff garbage")
    (last,) = client.submit([bench.log.payload()])
    assert client.cancel([last]) == unit_ops.APPLIED
    gate.touch()
    client.wait_for_ends([*units, last])
    assert client.letters([*units, last]) == ["D", "D", "C"]
    client.tell(PILOT, "stop")
    assert agent.wait() == 0


def test_garbage_beside_true_records_harms_nothing(bench: FaultBench) -> None:
    client = bench.client
    units = client.submit([bench.log.payload()] * 50)
    (spoilt,) = client.submit([bench.log.payload()])
    queue = queue_name(OWNER, label_of(), shape_of(1, 1), 0)
    key = client.keys.named
    client.redis.lpush(key(f"queue:{queue}"), *GARBAGE)
    client.redis.rpush(key(f"queue:{queue}"), *GARBAGE)
    client.redis.zadd(key(f"ready:{OWNER}"), dict.fromkeys(GARBAGE, 9))
    client.redis.hset(key("units"), spoilt, b"X|no|record")
    client.redis.hset(key("counts"), "abcdef|N", b"many")
    agent = bench.start_agent()
    client.redis.sadd(key(f"held:{PILOT}"), *GARBAGE, *units)
    client.wait_for_ends(units)
    assert client.letters(units) == ["D"] * len(units)
    agent.kill(agent.head)
    more = client.submit([bench.log.payload()] * 50, Request(retries=1))
    client.wait_for_ends(more)
    assert client.letters(more) == ["D"] * len(more)
    assert bench.log.never_started([spoilt]) == [spoilt]
    assert agent.process.poll() is None
