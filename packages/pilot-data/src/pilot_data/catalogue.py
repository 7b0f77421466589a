"""The replica catalogue: which Pilot-Data and data units there are, which files they have, and who is moving what.

One interface for the catalogue of a process and the one in Redis. Its invariants: a replica has one writer at a time, the
holder of its lease, by whose name nobody else claims; a data unit's state follows from its replicas; a Pilot-Data never holds more than its size allows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from pilot_protocol.data_records import FileRecord, ReplicaRecord
from pilot_protocol.errors import StateError
from pilot_protocol.states import State

from .errors import NoSpaceError

LEASE_S = 30.0
"""How long a replica belongs to who claimed it and is not heard of again."""


@dataclass(frozen=True)
class PilotDataRecord:
    """What is kept of a Pilot-Data.

    Attributes:
        id: ``pd-…``.
        service: The service that made it, ``pds-…``.
        description: As it was validated.
        state: Running, or how it ended.
        reason: Why it ended so.
        used_bytes: Of its replicas, those on their way as well.
    """

    id: str
    service: str
    description: dict[str, Any]
    state: State = State.New
    reason: str = ""
    used_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """How much it may hold; 0 for any amount."""
        size: float = self.description.get("size", 0)
        return round(size * 1_000_000)


@dataclass(frozen=True)
class DataUnitRecord:
    """What is kept of a data unit.

    Attributes:
        id: ``du-…``.
        description: As it was validated.
        state: What its replicas give it, or how it ended; New as long as nothing is to come to it.
        reason: Why it ended so.
        files: How many there are.
        bytes: Of all files.
        replicas: By Pilot-Data.
        owner: The compute-data service that it was submitted to, ``cds-…``; empty if it was none.
        producers: How many compute units that have not ended are to add files to it.
        host: The machine that local paths in the description are of, see `this_machine`; empty if there are none.
        spoilt_by: The first compute unit that was to add files to it and ended other than Done; empty without one.
    """

    id: str
    description: dict[str, Any]
    state: State = State.New
    reason: str = ""
    files: int = 0
    bytes: int = 0
    replicas: dict[str, ReplicaRecord] = field(default_factory=dict)
    owner: str = ""
    producers: int = 0
    host: str = ""
    spoilt_by: str = ""

    def told(self) -> DataUnitRecord:
        """Return it with the state that users know: the catalogue's own is Pending from the beginning."""
        is_new = self.state is State.Pending and not self.replicas and not self.producers
        return replace(self, state=State.New) if is_new else self


class Catalogue(ABC):
    """Keeps records. May be used by several threads.

    Every change may be said twice. All calls may raise CoordinationError when the catalogue is on a server.

    Attributes:
        is_shared: Whether other machines may have it, too.
    """

    is_shared: ClassVar[bool] = True

    @abstractmethod
    def add_pilot_data(self, record: PilotDataRecord) -> None:
        """Make a Pilot-Data known, Running."""

    @abstractmethod
    def end_pilot_data(self, pilot_data: str, state: State, reason: str = "") -> None:
        """Set a final state. One that is final stays as it is."""

    @abstractmethod
    def pilot_data(self, pilot_data: str) -> PilotDataRecord | None:
        """Return what is known of a Pilot-Data."""

    @abstractmethod
    def list_pilot_data(self) -> list[str]:
        """Return all Pilot-Data, in the order in which they were made."""

    @abstractmethod
    def add_data_unit(self, record: DataUnitRecord) -> None:
        """Make a data unit known, Pending, without files."""

    @abstractmethod
    def end_data_unit(self, data_unit: str, state: State, reason: str = "") -> None:
        """Set a final state. One that is final stays as it is."""

    @abstractmethod
    def data_unit(self, data_unit: str) -> DataUnitRecord | None:
        """Return what is known of a data unit."""

    @abstractmethod
    def list_data_units(self) -> list[str]:
        """Return all data units, in the order in which they were made."""

    @abstractmethod
    def put_files(self, data_unit: str, files: Iterable[FileRecord]) -> None:
        """Add files, or replace what is known of them.

        Raises:
            StateError: The data unit is not known.
        """

    @abstractmethod
    def remove_files(self, data_unit: str, paths: Sequence[str]) -> None:
        """Forget files, and give back the room that they took at replicas that are Done.

        Raises:
            StateError: The data unit is not known.
        """

    @abstractmethod
    def files(self, data_unit: str) -> list[FileRecord]:
        """Return the files of a data unit, sorted by path.

        Raises:
            StateError: The data unit is not known.
        """

    @abstractmethod
    def ask(self, data_unit: str, pilot_data: str) -> None:
        """Ask for a replica; one that is Done or was ended is asked for again, one in work stays as it is.

        Raises:
            StateError: The data unit is not known.
        """

    @abstractmethod
    def asked(self, most: int = 0) -> list[tuple[str, str]]:
        """Return which replicas, as data unit and Pilot-Data, somebody is to make, or is making.

        Args:
            most: So many of them at random; 0 for all.
        """

    @abstractmethod
    def claim(self, data_unit: str, pilot_data: str, owner: str, size: int, *, adds: bool = False) -> Claim:
        """Take the lease of a replica that is asked for, and the room for it.

        Args:
            data_unit: Of which files are to be moved.
            pilot_data: Where to.
            owner: Who moves them.
            size: Bytes of the whole replica.
            adds: Whether it is Done, and gets further files. Any other one is refused then, and Done ones are otherwise.

        Raises:
            NoSpaceError: The Pilot-Data has not that much room; the replica is Failed, or Done as before if it was whole. One
                that has files is the owner's, who removes them and settles it.
            StateError: The data unit or the Pilot-Data has ended, or nobody asks for the replica.
        """

    @abstractmethod
    def renew(self, data_unit: str, pilot_data: str, owner: str, moved: int) -> bool:
        """Tell how many bytes have moved, and keep the lease; return False when it is somebody else's by now."""

    @abstractmethod
    def settle(self, record: ReplicaRecord) -> bool:
        """Set how a replica ended, and give the lease back; return False when it is somebody else's by now.

        Its `bytes` are the room that it keeps if it is Done; any other end gives the room back.
        """

    @abstractmethod
    def forget(self, data_unit: str, pilot_data: str) -> None:
        """Forget a replica whose files are gone, and give its room back."""

    @abstractmethod
    def wait_for(self, holds: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until something holds, asking again whenever something changes; return whether it does."""

    @abstractmethod
    def wake(self) -> None:
        """Let those who wait in this process ask again."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True)
class Claim:
    """Answer to a claim.

    Attributes:
        granted: Whether the lease is ours.
        holder: Who has it else; empty when the replica is Done.
    """

    granted: bool
    holder: str = ""


def no_room(replica: ReplicaRecord, size: int, used: int | str, limit: int) -> NoSpaceError:
    """Return the error for a replica that its Pilot-Data has no room for; sizes in bytes.

    Args:
        replica: Which one.
        size: Of the whole replica.
        used: By others; a text that stands for it where that is not known yet.
        limit: What the Pilot-Data may hold.
    """
    return NoSpaceError(
        f"data unit {replica.data_unit} has {size} bytes; of the {limit} bytes of Pilot-Data {replica.pilot_data} "
        f"{used} are used; remove data units there, or make a Pilot-Data with a larger size"
    )


def unknown(kind: str, name: str) -> StateError:
    """Return the error for an object that the catalogue does not have."""
    return StateError(f"the catalogue has no {kind} {name}; it was removed, or made in another session")


def units_at(catalogue: Catalogue, pilot_data: str) -> list[DataUnitRecord]:
    """Return the data units that are at a Pilot-Data, or on their way."""
    units = map(catalogue.data_unit, catalogue.list_data_units())
    return [unit for unit in units if unit is not None and pilot_data in unit.replicas]


def unit_in(catalogue: Catalogue, data_unit: str) -> DataUnitRecord:
    """Return what a catalogue knows of a data unit.

    Raises:
        StateError: Nothing.
    """
    unit = catalogue.data_unit(data_unit)
    if unit is None:
        raise unknown("data unit", data_unit)
    return unit


def store_in(catalogue: Catalogue, pilot_data: str) -> PilotDataRecord:
    """Return what a catalogue knows of a Pilot-Data.

    Raises:
        StateError: Nothing.
    """
    store = catalogue.pilot_data(pilot_data)
    if store is None:
        raise unknown("Pilot-Data", pilot_data)
    return store
