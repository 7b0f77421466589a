"""What importing costs: names are loaded when they are used, and nothing connects or starts."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import pilot
from pilot_protocol.errors import PilotError

HEAVY = (
    "redis",
    "asyncio",
    "ssl",
    "subprocess",
    "socket",
    "pilot_agent",
    "pilot_data",
    "paramiko",
    "boto3",
    "rich",
    "click",
)


def loaded_after(statement: str) -> set[str]:
    program = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("statement", ["import pilot", "from pilot import State, PilotError, version"])
def test_a_light_import_loads_nothing_heavy(statement: str) -> None:
    assert loaded_after(statement).isdisjoint(HEAVY)


def test_the_services_need_no_agent_and_no_data() -> None:
    loaded = loaded_after(
        "from pilot import PilotComputeService, ComputeDataService, PilotCompute, ComputeUnit"
    )
    assert loaded.isdisjoint({"pilot_agent", "pilot_data", "paramiko", "boto3", "rich", "click"})


@pytest.mark.parametrize("name", pilot.__all__)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(pilot, name) is not None
    assert name in dir(pilot)


def test_old_names_are_the_new_ones() -> None:
    assert pilot.ComputeDataServiceDecentral is pilot.ComputeDataService
    assert pilot.ComputeDataServiceCentral is pilot.ComputeDataService
    assert pilot.application_id == "bigjob"
    assert pilot.version == pilot.__version__


@pytest.mark.parametrize("name", ["ComputeUnitService", "DataUnitService"])
def test_names_that_never_meant_anything_say_so(name: str) -> None:
    with pytest.raises(NotImplementedError, match="use ComputeDataService"):
        getattr(pilot, name)("redis://localhost")


@pytest.mark.parametrize(
    "name", ["PilotDataService", "PilotData", "DataUnit", "PilotDataDescription", "DataUnitDescription"]
)
def test_pilot_data_is_refused_clearly(name: str) -> None:
    with pytest.raises(PilotError, match=f"{name}: Pilot-Data is not part of this version"):
        getattr(pilot, name)
    assert name not in dir(pilot)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'PilotJob'"):
        pilot.PilotJob  # noqa: B018 - asking is the point
