"""A replica has one writer, also among the stagings of one process; one that nobody wants any more harms nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from pilot_data import moving, staging
from pilot_data.catalogue import DataUnitRecord, PilotDataRecord
from pilot_data.entries import Item, Outcome
from pilot_data.job import Job
from pilot_data.local_catalogue import LocalCatalogue
from pilot_data.origins import Lot, lots_of, record_of
from pilot_data.stager import Stager
from pilot_data.storage import Storage
from pilot_protocol.states import State


@pytest.fixture
def lots(tmp_path: Path) -> list[Lot]:
    """One file."""
    (tmp_path / "a").write_text("content")
    return lots_of([str(tmp_path / "a")])


@pytest.fixture
def catalogue(tmp_path: Path, lots: list[Lot]) -> LocalCatalogue:
    """Two Pilot-Data, and a data unit that is asked for at the first."""
    catalogue = LocalCatalogue()
    for name in ("pd-a", "pd-b"):
        catalogue.add_pilot_data(PilotDataRecord(name, "pds-a", {"service_url": f"file://{tmp_path}/{name}"}))
    catalogue.add_data_unit(DataUnitRecord("du-a", {}))
    catalogue.put_files("du-a", [record_of(item, part=0) for lot in lots for item in lot.items])
    catalogue.ask("du-a", "pd-a")
    return catalogue


@pytest.fixture
def stager(catalogue: LocalCatalogue) -> Iterator[Stager]:
    """The stager of this process."""
    stager = Stager(catalogue, "pds-a")
    yield stager
    stager.close(cancel=True)


def state_of(catalogue: LocalCatalogue) -> State:
    """Return the state of the data unit."""
    unit = catalogue.data_unit("du-a")
    assert unit is not None
    return unit.state


def test_two_stagings_of_one_process_do_not_write_at_once(
    catalogue: LocalCatalogue, stager: Stager, lots: list[Lot], monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[bool] = []

    def move(source: Storage, target: Storage, items: Sequence[Item], job: Job) -> Iterator[Outcome]:
        others.append(catalogue.claim("du-a", "pd-a", stager._new_name(), 7).granted)
        stager.ask("du-a", ["pd-a"])
        yield from moving.move(source, target, items, job)

    monkeypatch.setattr(staging, "move", move)
    stager.ask("du-a", ["pd-a"], lots)
    assert catalogue.wait_for(partial(_is_running, catalogue), 30)
    assert others == [False]


def _is_running(catalogue: LocalCatalogue) -> bool:
    return state_of(catalogue) is State.Running


def test_a_replica_that_nobody_wants_any_more_does_not_end_the_data_unit(
    catalogue: LocalCatalogue, stager: Stager, lots: list[Lot]
) -> None:
    stager.ask("du-a", ["pd-a"], lots)
    assert catalogue.wait_for(partial(_is_running, catalogue), 30)
    catalogue.ask("du-a", "pd-b")
    catalogue.forget("du-a", "pd-b")
    stager.serve(lambda _store: True)
    stager.close()
    assert state_of(catalogue) is State.Running
