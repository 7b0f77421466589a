"""A mover makes replicas that are asked for near its pilot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from local_redis import LocalRedis
from mover_bench import Bench, settings_of
from pilot_data import DataUnit, PilotData
from pilot_data.catalogue import unit_in
from pilot_data.data_session import DataSession
from pilot_data.node.messages import read_settings
from pilot_protocol.data_records import ReplicaLetter


@pytest.fixture
def catalogue_kind() -> str:
    return "redis"


@pytest.fixture
def here(here: str) -> Path:
    """See the general one."""
    return Path(here)


def letter(session: DataSession, unit: DataUnit, store: PilotData) -> str:
    return unit_in(session.catalogue, unit.id).replicas[store.id].letter


def test_a_replica_that_is_asked_for_near_the_pilot_is_made(
    session: DataSession,
    redis_server: LocalRedis,
    make_pd: Callable[..., PilotData],
    here: Path,
    tmp_path: Path,
) -> None:
    origin, far = make_pd("origin"), make_pd("far", affinity_datacenter_label="there")
    near = make_pd("near", affinity_datacenter_label="here", affinity_machine_label="m,1")
    Path(here, "x").write_text("content")
    unit = origin.submit_data_unit({"file_urls": [f"{here}/x"]})
    assert unit.wait(30)
    session.stop_staging()
    for store in (far, near):
        session.catalogue.ask(unit.id, store.id)
    bench = Bench(read_settings(json.dumps(settings_of(session, redis_server, tmp_path / "sandbox"))))
    assert session.catalogue.wait_for(lambda: letter(session, unit, near) == ReplicaLetter.DONE, 30)
    assert bench.close()
    assert (tmp_path / "near" / unit.id / "x").read_text() == "content"
    assert letter(session, unit, far) == ReplicaLetter.PENDING
