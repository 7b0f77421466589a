"""Two sites with a slow link between them: units go where their data are, and nothing passes the link that need not."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from closed_sessions import close_sessions
from pilot import ComputeDataService, DataUnit, PilotComputeService, PilotData, PilotDataService, State
from two_sites import SITES, TwoSites, two_sites

LIMIT_S = 120.0
CORES = 4
OWN_BYTES, COMMON_BYTES = 3_000_000, 2_000_000
OVERHEAD_BYTES = 500_000
"""At most, of SSH, of Redis, and of logs that are read."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoSites]:
    with two_sites(tmp_path) as running:
        for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "PILOT_COORDINATION_URL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in running.variables.items():
            monkeypatch.setenv(name, value)
        yield running
        close_sessions()


def data_at(store: PilotData, folder: Path, name: str, size: int) -> DataUnit:
    """Make a data unit of one file."""
    path = folder / name
    path.write_bytes(secrets.token_bytes(size))
    unit = store.submit_data_unit({"file_urls": [str(path)]})
    assert unit.wait(LIMIT_S)
    return unit


def test_what_passes_the_link_is_the_least_that_can(sites: TwoSites, tmp_path: Path) -> None:
    with PilotComputeService() as pilots, PilotDataService() as stores, ComputeDataService() as work:
        for site in SITES:
            pilot = pilots.create_pilot(sites.pilot_description(site, CORES))
            assert pilot.wait(LIMIT_S, State.Running) is State.Running
        store = {site: stores.create_pilot(sites.store_description(site)) for site in SITES}
        work.add_pilot_compute_service(pilots)
        work.add_pilot_data_service(stores)
        common = data_at(store[SITES[0]], tmp_path, "common", COMMON_BYTES)
        own = {
            name: data_at(store[name[:6]], tmp_path, name, OWN_BYTES)
            for name in ("site-1a", "site-1b", "site-2a")
        }
        before = sites.bytes_between()
        units = work.submit_compute_units(
            {
                "executable": "/bin/sh",
                "arguments": ["-c", f"cat {name} common | wc -c; uname -n"],
                "input_data": [data, common],
            }
            for name, data in own.items()
        )
        printed = [unit.result(LIMIT_S).stdout().split() for unit in units]
        passed = sites.bytes_between() - before
        placements = [unit.details["placement"]["kind"] for unit in units]
    assert printed == [[str(OWN_BYTES + COMMON_BYTES), node] for node in ("node1", "node1", "node2")]
    assert placements == ["there", "there", "copied"]
    assert COMMON_BYTES <= passed < COMMON_BYTES + OVERHEAD_BYTES
