"""How a replica can be made from here, or why it cannot just now. Pure, but for the question what this machine sees."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pilot_protocol.data_records import ReplicaLetter
from pilot_protocol.states import State, is_final

from .catalogue import Catalogue, DataUnitRecord, PilotDataRecord
from .endpoints import Endpoint
from .locations import parse
from .markers import is_here
from .replicas import access_of, place_of
from .this_machine import host_of, this_machine

Stores = Mapping[str, PilotDataRecord]
"""Pilot-Data by their ids."""


@dataclass(frozen=True)
class Here:
    """What is known of this machine.

    Attributes:
        machine: Its name, see `this_machine`.
        sees: Returns whether the folder of a Pilot-Data can be entered from here.
    """

    machine: str
    sees: Callable[[PilotDataRecord], bool]

    @classmethod
    def of(cls, catalogue: Catalogue) -> Here:
        """Return this machine, as it sees what is in a catalogue."""
        return cls(this_machine(), is_here if catalogue.is_shared else lambda _store: True)


@dataclass(frozen=True)
class Way:
    """How to make a replica.

    Attributes:
        store: Where it is to be.
        origin: Where the files are taken from; None to take what the description names.
        named: What the description names.
    """

    store: PilotDataRecord
    origin: PilotDataRecord | None = None
    named: tuple[str, ...] = ()

    @property
    def ends(self) -> frozenset[Endpoint]:
        """The endpoints that files come from and go to."""
        if self.origin is not None:
            return frozenset({end_of(self.store), end_of(self.origin)})
        return frozenset({end_of(self.store), *(Endpoint.of(parse(url, "file_urls")) for url in self.named)})


@dataclass(frozen=True)
class Obstacle:
    """Why a replica cannot be made from here.

    Attributes:
        reason: A text for people; begins in the middle of a sentence.
        is_elsewhere: Whether another machine can make it now.
    """

    reason: str
    is_elsewhere: bool = False


def way_to(
    unit: DataUnitRecord, pilot_data: str, stores: Stores, here: Here, mine: Collection[str]
) -> Way | Obstacle:
    """Return how to make a replica that is asked for.

    The first replica comes from what the description names, the others from there: they wait for it.

    Args:
        unit: Of which files are wanted.
        pilot_data: Where they are wanted.
        stores: All Pilot-Data that have it, or are to have it.
        here: This machine.
        mine: The Pilot-Data at which whoever asks would make a replica of it.
    """
    store = stores[pilot_data]
    if is_final(store.state):
        return Way(store)  # whoever tries learns that, and tidies up
    if not here.sees(store):
        return Obstacle(f"a process on the machine of {store.id} has to serve it ({_advice(store)})", True)
    whole = [one for one in _with(unit, stores, ReplicaLetter.DONE) if one.id != pilot_data]
    seen = [one for one in whole if here.sees(one)]
    if seen:
        return Way(store, min(seen, key=lambda one: (end_of(one).service != "file://", one.id)))
    if whole:
        places = ", ".join(one.id for one in whole)
        return Obstacle(f"a process that sees {places} has to serve it ({_advice(whole[0])})", True)
    firsts = [one for one in _with(unit, stores, ReplicaLetter.PENDING) if one.id in mine and here.sees(one)]
    return _before_others(unit, store, stores, firsts) or _from_named(unit, store, here)


def _before_others(
    unit: DataUnitRecord, store: PilotDataRecord, stores: Stores, firsts: Sequence[PilotDataRecord]
) -> Obstacle | None:
    """Return what comes before, when the first replica of a data unit is to be another one."""
    if unit.replicas[store.id].letter == ReplicaLetter.RUNNING:
        return None  # taken over from a process that has ended
    first = next(iter([*_with(unit, stores, ReplicaLetter.RUNNING), *firsts]), store)
    if first.id == store.id:
        return None
    return Obstacle(f"it is copied from {first.id}, as soon as that has it")


def _from_named(unit: DataUnitRecord, store: PilotDataRecord, here: Here) -> Way | Obstacle:
    named = tuple(unit.description.get("file_urls", ()))
    if unit.host and unit.host != here.machine:
        host = host_of(unit.host)
        return Obstacle(f"the files it is made of are on {host}; let pilot-data serve run there", True)
    return Way(store, named=named)


def _with(unit: DataUnitRecord, stores: Stores, letter: str) -> Iterable[PilotDataRecord]:
    """Yield the Pilot-Data whose replicas are in some state, in the order in which they were asked for."""
    for name, replica in unit.replicas.items():
        if replica.letter == letter and name in stores and stores[name].state is State.Running:
            yield stores[name]


def end_of(store: PilotDataRecord) -> Endpoint:
    """Return the endpoint that a Pilot-Data is at."""
    return Endpoint.of(place_of(store, ""), access_of(store))


def _advice(store: PilotDataRecord) -> str:
    return f"pilot-data serve, where {store.description['service_url']} is"
