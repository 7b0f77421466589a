"""The catalogue in Redis: shared by all processes of a session, and still there when they have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from pilot_protocol import codec, data_ops, signing
from pilot_protocol.data_records import FileRecord, PilotDataPlace, ReplicaRecord
from pilot_protocol.errors import StateError
from pilot_protocol.keys import Keys, label_of
from pilot_protocol.operation import BATCH
from pilot_protocol.signing import Seal
from pilot_protocol.states import State
from pilot_session.coordination_url import CoordinationUrl
from pilot_session.redis_link import RedisLink

from .catalogue import LEASE_S, Catalogue, Claim, DataUnitRecord, PilotDataRecord, no_room, unknown
from .event_bell import EventBell

LEASE_MS = round(LEASE_S * 1000)

_HOST, _OWNER = "host", "owner"
"""Keys beside those of a data unit's description: the machine that its local paths are of, and whom it was submitted to."""


class RedisCatalogue(Catalogue):
    """Keeps records in a session.

    Args:
        url: Of the server, with the password.
        session: The session's id; it has been opened.
        key: Of the session, 32 bytes.
    """

    def __init__(self, url: CoordinationUrl, session: str, key: bytes) -> None:
        self._keys = Keys(session)
        self._seal = Seal(session, key)
        self._link = RedisLink(url)
        self._bell = EventBell(url, self._keys)

    def add_pilot_data(self, record: PilotDataRecord) -> None:
        """See `Catalogue.add_pilot_data`."""
        content = codec.encode([record.service, record.description])
        sealed = self._seal.close(signing.PILOT_DATA, record.id, content)
        wishes = (record.description.get(f"affinity_{kind}_label", "") for kind in ("datacenter", "machine"))
        place = PilotDataPlace(record.service, label_of(*wishes), record.size_bytes)
        self._link.run(data_ops.declare_pilot_data(self._keys, record.id, sealed, place))

    def end_pilot_data(self, pilot_data: str, state: State, reason: str = "") -> None:
        """See `Catalogue.end_pilot_data`."""
        self._link.run(data_ops.end_pilot_data(self._keys, pilot_data, state, reason))

    def pilot_data(self, pilot_data: str) -> PilotDataRecord | None:
        """See `Catalogue.pilot_data`."""
        sealed = self._link.query(data_ops.pilot_data_record(self._keys, pilot_data))
        if sealed is None:
            return None
        service, description = codec.decode(self._seal.open(signing.PILOT_DATA, pilot_data, sealed))
        state, reason = self._link.query(data_ops.pilot_data_state(self._keys, pilot_data))
        used = self._link.query(data_ops.pilot_data_used(self._keys, pilot_data))
        return PilotDataRecord(pilot_data, service, description, State(state or State.Unknown), reason, used)

    def list_pilot_data(self) -> list[str]:
        """See `Catalogue.list_pilot_data`."""
        return self._link.query(data_ops.pilot_data_made(self._keys))

    def add_data_unit(self, record: DataUnitRecord) -> None:
        """See `Catalogue.add_data_unit`."""
        marks = {_HOST: record.host, _OWNER: record.owner}
        kept = {**record.description, **{key: value for key, value in marks.items() if value}}
        sealed = self._seal.close(signing.DATA_UNIT, record.id, codec.encode(kept))
        wanted = record.description.get("number_of_replicas", 1)
        self._link.run(data_ops.declare_data_unit(self._keys, record.id, sealed, wanted))

    def end_data_unit(self, data_unit: str, state: State, reason: str = "") -> None:
        """See `Catalogue.end_data_unit`."""
        self._link.run(data_ops.end_data_unit(self._keys, data_unit, state, reason))

    def data_unit(self, data_unit: str) -> DataUnitRecord | None:
        """See `Catalogue.data_unit`."""
        facts = self._link.run(data_ops.read_data_unit(self._keys, data_unit))
        if facts.record is None:
            return None
        description = codec.decode_object(self._seal.open(signing.DATA_UNIT, data_unit, facts.record))
        host, owner = (str(description.pop(key, "")) for key in (_HOST, _OWNER))
        return DataUnitRecord(
            data_unit,
            description,
            State(facts.state or State.Unknown),
            facts.reason,
            files=facts.files,
            bytes=facts.size,
            replicas={replica.pilot_data: replica for replica in facts.replicas},
            host=host,
            owner=owner,
            producers=facts.producers,
            spoilt_by=facts.spoilt_by,
        ).told()

    def list_data_units(self) -> list[str]:
        """See `Catalogue.list_data_units`."""
        return self._link.query(data_ops.data_units_made(self._keys))

    def put_files(self, data_unit: str, files: Iterable[FileRecord]) -> None:
        """See `Catalogue.put_files`."""
        for batch in _batches(files):
            sealed = [(file, self._sealed(data_unit, file)) for file in batch]
            if self._link.run(data_ops.put_files(self._keys, data_unit, sealed)) is None:
                raise unknown("data unit", data_unit)

    def remove_files(self, data_unit: str, paths: Sequence[str]) -> None:
        """See `Catalogue.remove_files`."""
        for batch in _batches(paths):
            if self._link.run(data_ops.remove_files(self._keys, data_unit, batch)) is None:
                raise unknown("data unit", data_unit)

    def files(self, data_unit: str) -> list[FileRecord]:
        """See `Catalogue.files`."""
        if self._link.query(data_ops.data_unit_record(self._keys, data_unit)) is None:
            raise unknown("data unit", data_unit)
        found: dict[str, FileRecord] = {}
        cursor = -1
        while cursor:
            query = data_ops.files(self._keys, data_unit, max(cursor, 0), BATCH)
            cursor, records = self._link.query(query)
            for path, record in records:
                content = self._seal.open(signing.FILE, _file_name(data_unit, path), record)
                found[path] = FileRecord.from_bytes(path, content)
        return sorted(found.values())

    def ask(self, data_unit: str, pilot_data: str) -> None:
        """See `Catalogue.ask`."""
        if self._link.run(data_ops.ask_replica(self._keys, data_unit, pilot_data)) is None:
            raise unknown("data unit", data_unit)

    def asked(self, most: int = 0) -> list[tuple[str, str]]:
        """See `Catalogue.asked`."""
        return self._link.query(data_ops.asked(self._keys, most))

    def claim(self, data_unit: str, pilot_data: str, owner: str, size: int, *, adds: bool = False) -> Claim:
        """See `Catalogue.claim`."""
        store = self.pilot_data(pilot_data)
        limit = store.size_bytes if store is not None else 0
        replica = ReplicaRecord(data_unit, pilot_data)
        reason = str(no_room(replica, size, "{used}", limit))
        claim = data_ops.ReplicaClaim(data_unit, pilot_data, owner, size, limit, reason, adds)
        answer = self._link.run(data_ops.claim_replica(self._keys, claim, LEASE_MS))
        if answer.verdict == "full":
            raise no_room(replica, size, int(answer.detail), limit)
        if answer.verdict in _REFUSALS:
            raise StateError(_REFUSALS[answer.verdict].format(data_unit=data_unit, pilot_data=pilot_data))
        return Claim(granted=answer.verdict == "granted", holder=answer.detail)

    def renew(self, data_unit: str, pilot_data: str, owner: str, moved: int) -> bool:
        """See `Catalogue.renew`."""
        operation = data_ops.renew_replica(self._keys, data_unit, pilot_data, owner, moved, LEASE_MS)
        return bool(self._link.run(operation))

    def settle(self, record: ReplicaRecord) -> bool:
        """See `Catalogue.settle`."""
        return bool(self._link.run(data_ops.settle_replica(self._keys, record)))

    def forget(self, data_unit: str, pilot_data: str) -> None:
        """See `Catalogue.forget`."""
        self._link.run(data_ops.forget_replica(self._keys, data_unit, pilot_data))

    def wait_for(self, holds: Callable[[], bool], timeout_s: float | None) -> bool:
        """See `Catalogue.wait_for`."""
        return self._bell.wait_for(holds, timeout_s)

    def wake(self) -> None:
        """See `Catalogue.wake`."""
        self._bell.ring()

    def close(self) -> None:
        """See `Catalogue.close`."""
        self._bell.close()
        self._link.close()

    def _sealed(self, data_unit: str, file: FileRecord) -> bytes:
        return self._seal.close(signing.FILE, _file_name(data_unit, file.path), file.to_bytes())


_REFUSALS: dict[str, str] = {
    "store": "Pilot-Data {pilot_data} has ended; nothing is put there any more",
    "unit": "data unit {data_unit} has ended; make a new one",
    "unasked": "nobody asks for data unit {data_unit} at {pilot_data}",
}


def _file_name(data_unit: str, path: str) -> str:
    """Return the name that a file's record is sealed under."""
    return f"{data_unit}/{codec.encode(path).decode('ascii')}"


def _batches(values: Iterable[Any]) -> Iterator[list[Any]]:
    rest = iter(values)
    while batch := list(islice(rest, BATCH)):
        yield batch
