"""What importing costs: names are loaded when they are used, and nothing connects or starts."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

import pilot

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


DATA_NAMES = ("PilotDataService", "PilotData", "DataUnit")


@pytest.mark.parametrize("name", DATA_NAMES)
def test_names_of_pilot_data_are_given_on(name: str) -> None:
    found = getattr(pilot, name)
    assert found is getattr(importlib.import_module("pilot_data"), name)
    assert name in dir(pilot)


def test_everything_at_once_has_pilot_data_where_it_is_installed() -> None:
    names = importlib.import_module("pilot.pilot_data_door").NAMES
    assert set(names) == set(DATA_NAMES) <= set(pilot.__all__)


@pytest.mark.parametrize("name", DATA_NAMES)
def test_without_pilot_data_the_error_says_what_to_install(name: str) -> None:
    program = f"""
import sys
sys.modules["pilot_data"] = None  # as if it were not installed
import pilot
assert "{name}" not in dir(pilot)
from pilot import *
assert "{name}" not in globals()
try:
    pilot.{name}
except PilotError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"MissingExtraError {name} needs the extra 'data'; type: pip install 'pilot-client[data]'\n"
    )


def test_without_pilot_data_a_service_says_what_to_install(url: str) -> None:
    program = f"""
import sys
sys.modules["pilot_data"] = None  # as if it were not installed
from pilot import ComputeDataService, PilotError
work = ComputeDataService({url!r})
try:
    work.submit_data_unit({{}})
except PilotError as error:
    print(type(error).__name__, error)
print(work.list_pilot_data(), work.submit_compute_unit({{"executable": "/bin/true"}}).state)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == (
        "MissingExtraError Pilot-Data needs the extra 'data'; type: pip install 'pilot-client[data]'\n[] Pending\n"
    )


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'PilotJob'"):
        pilot.PilotJob  # noqa: B018 - asking is the point
