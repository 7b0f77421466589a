"""One Pilot-Data and one data unit of a session on a real server, in few words."""

from __future__ import annotations

from typing import Any, Callable, TypeVar

from pilot_protocol import data_ops
from pilot_protocol.data_ops import ClaimAnswer, ReplicaClaim
from pilot_protocol.data_records import FileRecord, ReplicaRecord
from pilot_protocol.keys import Keys
from pilot_protocol.operation import Query
from scripted_session import LEASE_MS, ScriptedSession

T = TypeVar("T")

PD, DU = "pd-aaaaaaaa", "du-aaaaaaaa"
ME, YOU = "pds-aaaaaaaa", "pds-bbbbbbbb"


class ScriptedData:
    """What a process that stages says."""

    def __init__(self, session: ScriptedSession) -> None:
        self.session = session
        self.keys = session.keys
        self.run = session.run

    def declare(self) -> None:
        """Make both known."""
        self.run(data_ops.declare_pilot_data(self.keys, PD, b"record"))
        self.run(data_ops.declare_data_unit(self.keys, DU, b"record", 1))

    def put(self, *files: FileRecord) -> int | None:
        """Add files."""
        return self.run(data_ops.put_files(self.keys, DU, [(file, b"sealed|\0") for file in files]))

    def remove(self, *paths: str) -> int | None:
        """Remove files."""
        return self.run(data_ops.remove_files(self.keys, DU, paths))

    def files(self) -> list[str]:
        """Return the paths of all files."""
        cursor, found = self.session.link.query(data_ops.files(self.keys, DU, 0, 1000))
        assert cursor == 0
        assert all(record == b"sealed|\0" for _, record in found)
        return [path for path, _ in found]

    def want(self) -> None:
        """Ask for the replica."""
        assert self.run(data_ops.ask_replica(self.keys, DU, PD)) == 1

    def claim(
        self, size: int = 40, *, owner: str = ME, limit: int = 100, data_unit: str = DU, pilot_data: str = PD
    ) -> ClaimAnswer:
        """Claim a replica."""
        reason = f"{{used}} of {limit} % are used"
        claim = ReplicaClaim(data_unit, pilot_data, owner, size, limit, reason)
        return self.run(data_ops.claim_replica(self.keys, claim, LEASE_MS))

    def renew(self, moved: int, *, owner: str = ME) -> int:
        """Keep the lease."""
        return self.run(data_ops.renew_replica(self.keys, DU, PD, owner, moved, LEASE_MS))

    def settle(
        self, letter: str, size: int = 0, *, owner: str = ME, reason: str = "", data_unit: str = DU, pilot_data: str = PD
    ) -> int:  # fmt: skip
        """Set how a replica ended."""
        record = ReplicaRecord(data_unit, pilot_data, letter, owner, size, reason)
        return self.run(data_ops.settle_replica(self.keys, record))

    def pass_lease(self) -> None:
        """Let the lease have passed, without waiting for it."""
        name = self.keys.named("replicas")
        parts = self.session.client.hget(name, DU).split(b"|")
        parts[3] = b"1"
        self.session.client.hset(name, DU, b"|".join(parts))

    def ask(self, read: Callable[[Keys, str], Query[T]], name: str) -> T:
        """Read something."""
        return self.session.link.query(read(self.keys, name))

    @property
    def state(self) -> tuple[str, str]:
        """State and reason of the data unit."""
        return self.ask(data_ops.data_unit_state, DU)

    @property
    def replica(self) -> ReplicaRecord:
        """The only replica."""
        (found,) = self.ask(data_ops.replicas, DU)
        return found

    @property
    def used(self) -> int:
        """Bytes that are used at the Pilot-Data."""
        return self.ask(data_ops.pilot_data_used, PD)

    def say_everything(self) -> None:
        """Run every script about data."""
        self.declare()
        self.put(FileRecord("b", 2))
        self.run(data_ops.ask_replica(self.keys, DU, PD))
        self.claim()
        self.renew(1)
        self.settle("D", 42)
        self.remove("a", "b")
        self.run(data_ops.forget_replica(self.keys, DU, PD))
        self.run(data_ops.end_data_unit(self.keys, DU, "Canceled", ""))
        self.run(data_ops.end_pilot_data(self.keys, PD, "Canceled", ""))

    def read_everything(self) -> None:
        """Say every read about data."""
        of_pilot_data: tuple[Callable[[Keys, str], Query[Any]], ...] = (
            data_ops.pilot_data_record, data_ops.pilot_data_state, data_ops.pilot_data_used,
        )  # fmt: skip
        of_data_units: tuple[Callable[[Keys, str], Query[Any]], ...] = (
            data_ops.data_unit_record, data_ops.data_unit_state, data_ops.data_unit_bytes, data_ops.number_of_files,
            data_ops.replicas,
        )  # fmt: skip
        for read in of_pilot_data:
            self.ask(read, PD)
        for read in of_data_units:
            self.ask(read, DU)
        self.session.link.query(data_ops.pilot_data_made(self.keys))
        self.session.link.query(data_ops.data_units_made(self.keys))
        self.files()
