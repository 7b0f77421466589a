"""What holds for the keys of a session after every script, whatever was said before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from data_invariants import check_data
from pilot_protocol import reads
from pilot_protocol.keys import PER_DATA_UNIT, PER_OWNER, PER_PILOT, SINGLE
from pilot_protocol.messages import UnitRecord
from pilot_protocol.placements import PlacementKind, read_placement
from pilot_protocol.testing.records import Queue
from scripted_session import ScriptedSession

FINAL = frozenset("DFC")
HELD = frozenset("ASR")


def check_session(session: ScriptedSession, awake: Collection[str] | None = None) -> None:
    """Check everything.

    Args:
        session: The session.
        awake: Pilots that will claim before they sleep, beside those whose bell rings; None: bells are not checked.
    """
    keys = read_keys(session)
    if "meta" not in keys:
        return
    records = {name: UnitRecord.from_bytes(text.encode()) for name, text in keys.get("units", {}).items()}
    check_names_and_ttls(session, keys)
    check_places(keys, records)
    check_dependencies(keys, records)
    check_inputs(keys, records)
    check_counts(keys, records)
    check_events(session, records)
    check_data(keys)
    if awake is not None:
        check_bells(keys, records, awake)


def read_keys(session: ScriptedSession) -> dict[str, Any]:
    """Return the content of every key by its name without prefix, as text."""
    client, prefix = session.client, session.keys.prefix
    names = [name.decode() for name in client.keys("*")]
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.type(name)
        kinds = pipe.execute()
        for name, kind in zip(names, kinds):
            READERS[kind](pipe, name)
        contents = pipe.execute()
    assert all(name.startswith(prefix) for name in names)
    return {name[len(prefix) :]: _as_text(content) for name, content in zip(names, contents)}


READERS = {
    b"hash": lambda pipe, name: pipe.hgetall(name),
    b"list": lambda pipe, name: pipe.lrange(name, 0, -1),
    b"set": lambda pipe, name: pipe.smembers(name),
    b"zset": lambda pipe, name: pipe.zrange(name, 0, -1, withscores=True),
    b"stream": lambda pipe, name: pipe.xlen(name),
}


def _as_text(content: Any) -> Any:
    if isinstance(content, bytes):
        return content.decode("latin-1")
    if isinstance(content, dict):
        return {_as_text(name): _as_text(value) for name, value in content.items()}
    if isinstance(content, (list, tuple, set)):
        return [_as_text(part) for part in content]
    return content


def check_names_and_ttls(session: ScriptedSession, keys: Mapping[str, Any]) -> None:
    """Every key is one of those that are written down, and lives as long as the session, but not for ever."""
    with session.client.pipeline(transaction=False) as pipe:
        for name in keys:
            pipe.ttl(session.keys.named(name))
        lives = dict(zip(keys, pipe.execute()))
    for name, seconds in lives.items():
        assert name in SINGLE or name.partition(":")[0] in {
            *PER_PILOT,
            *PER_OWNER,
            *PER_DATA_UNIT,
            "queue",
        }, name
        assert seconds > 0, f"{name} has no time to live"
        assert seconds >= lives["meta"], f"{name} ends before the session"


def check_places(keys: Mapping[str, Any], records: Mapping[str, UnitRecord]) -> None:
    """A ready unit is in its queue, a held one with its pilot, and no unit is with another."""
    queued = {
        (name.partition(":")[2], entry.partition(":")[2])
        for name, entries in keys.items()
        if name.startswith("queue:")
        for entry in entries
    }
    listed = {queue for name, queues in keys.items() if name.startswith("ready:") for queue, _ in queues}
    held = {
        (name.partition(":")[2], unit)
        for name, units in keys.items()
        if name.startswith("held:")
        for unit in units
    }
    for name, record in records.items():
        if record.letter == "N":
            assert (record.queue, name) in queued, f"{name} is ready, but in no queue"
            assert record.queue in listed, f"nobody looks into {record.queue}"
    having = {(record.pilot, name) for name, record in records.items() if record.letter in HELD}
    assert having == held
    canceling = set(keys.get("cancels", ()))
    assert canceling <= {name for _, name in having}, "an ended unit is still to be canceled"
    in_vain = {records[name].letter for name in keys.get("vain_claims", ())}
    assert not in_vain & {"R", *FINAL}, "claims of a unit that started, or ended, are still counted"


def check_dependencies(keys: Mapping[str, Any], records: Mapping[str, UnitRecord]) -> None:
    """A waiting unit waits for as many predecessors as have not ended; nothing is left to be released."""
    assert "releases" not in keys
    assert "abandoned" not in keys
    still_open: Counter[str] = Counter()
    for predecessor, successors in keys.get("successors", {}).items():
        if predecessor in records:
            assert records[predecessor].letter not in FINAL, (
                f"{predecessor} has ended, successors do not know"
            )
        still_open.update(entry[1:] for entry in successors.split())
    counted = {name: int(number) for name, number in keys.get("open_predecessors", {}).items()}
    unplaced = set(keys.get("unplaced", ()))
    waiting = {name for name, record in records.items() if record.letter == "W"}
    assert counted.keys() <= waiting
    assert waiting - counted.keys() <= unplaced, "a unit waits for nothing"
    for name, number in counted.items():
        # A unit that was taken over while it waited may wait again, and has left its first entries behind.
        assert number == still_open[name] or (0 < number < still_open[name] and records[name].attempt), name


def check_inputs(keys: Mapping[str, Any], records: Mapping[str, UnitRecord]) -> None:
    """Who has ended reads nothing any more; the cores that wait for copies are those of the units that do."""
    for name in (*keys.get("inputs", ()), *keys.get("outputs", ())):
        assert records[name].letter not in FINAL, f"{name} has ended, and still reads or adds files"
    waiting: Counter[str] = Counter()
    for name, text in keys.get("placements", {}).items():
        placement = read_placement(text.encode())
        if placement.kind == PlacementKind.COPY and name in keys.get("inputs", ()):
            assert records[name].letter == "W", f"{name} waits for no copy"
            queue = Queue.named(records[name].queue)
            waiting[f"{queue.owner}/{placement.site}"] += queue.cores
    assert {site: int(cores) for site, cores in keys.get("copying", {}).items()} == waiting


def check_counts(keys: Mapping[str, Any], records: Mapping[str, UnitRecord]) -> None:
    """The counters say what the records say."""
    counted = {field: int(number) for field, number in keys.get("counts", {}).items() if int(number)}
    assert counted == Counter(f"{name.split('-')[1]}|{record.letter}" for name, record in records.items())


def check_events(session: ScriptedSession, records: Mapping[str, UnitRecord]) -> None:
    """Who reads all events sees the states of the records."""
    seen = dict.fromkeys(records, "N")
    for event in session.link.query(reads.events(session.keys, "0-0", 1)):
        for letter in "SRNDFC":
            seen.update(dict.fromkeys(event.units.get(letter, ()), letter))
    assert seen == {
        name: "N" if record.letter in "WNA" else record.letter for name, record in records.items()
    }


@dataclass(frozen=True)
class KnownPilot:
    """A pilot's record."""

    size: tuple[float, ...]
    label: tuple[str, str]
    owners: frozenset[str]

    @classmethod
    def read(cls, name: str, keys: Mapping[str, Any]) -> KnownPilot:
        """Take it from the keys."""
        record = keys[f"pilot:{name}"]
        sizes = (record.get("cores", 0), record.get("node_cores", 0), record.get("gpus", 0))
        datacenter, _, machine = record.get("label", ",").partition(",")
        attached = keys.get("attachments", {}).get(record.get("service", ""), "").split()
        size = (*map(float, sizes), float(record.get("memory_mb") or "inf"))
        return cls(size, (datacenter, machine), frozenset({name, *attached}))

    def fits(self, queue: Queue) -> bool:
        """Tell whether it may run the units of a queue, wherever they want to be."""
        return queue.owner in self.owners and all(
            asked <= there for asked, there in zip(queue.size, self.size)
        )

    def is_near(self, queue: Queue) -> bool:
        """Tell whether it is where they want to be."""
        return all(wish in {"", place} for wish, place in zip(queue.label, self.label))


def check_bells(keys: Mapping[str, Any], records: Mapping[str, UnitRecord], awake: Collection[str]) -> None:
    """No unit waits while a pilot sleeps that would take it, unless one is awake who will ring for what it leaves."""
    alive = {name: KnownPilot.read(name, keys) for name, _ in keys.get("leases", ())}
    waking = {name for name in alive if name in awake or "work" in keys.get(f"door:{name}", ())}
    waiting = {record.queue for record in records.values() if record.letter == "N"}
    for queue in map(Queue.named, waiting):
        if any(queue.owner in alive[name].owners for name in waking):
            continue
        takers = [pilot for pilot in alive.values() if pilot.fits(queue)]
        has_near = any(pilot.is_near(queue) for pilot in takers)
        for name, cores in keys.get(f"hungry:{queue.owner}", ()):
            pilot = alive.get(name)
            is_taker = pilot is not None and pilot.fits(queue) and (pilot.is_near(queue) or not has_near)
            assert not (is_taker and cores >= queue.cores), f"{queue.name} has units, {name} sleeps"
