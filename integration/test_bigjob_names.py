"""Every name, method, keyword argument, key and state of BigJob's Pilot-API is there."""

from __future__ import annotations

import inspect
import warnings

import pytest

import pilot

NAMES = [
    "PilotComputeService",
    "PilotCompute",
    "ComputeUnit",
    "ComputeDataService",
    "ComputeDataServiceDecentral",
    "ComputeDataServiceCentral",
    "PilotError",
    "State",
    "PilotComputeDescription",
    "PilotDataService",
    "PilotData",
    "DataUnit",
    "PilotDataDescription",
    "DataUnitDescription",
    "ComputeUnitDescription",
    "version",
    "application_id",
]

METHODS = {
    "PilotComputeService": "create_pilot list_pilots cancel",
    "PilotCompute": "submit_compute_unit list_compute_units get_state wait cancel get_url get_details get_free_nodes",
    "ComputeUnit": "get_id get_url get_state wait cancel get_details get_local_working_directory",
    "ComputeDataService": """add_pilot_compute_service remove_pilot_compute_service submit_compute_unit
        list_pilot_compute list_compute_units wait cancel get_id get_details get_state get_url add_pilot_data_service
        remove_pilot_data_service submit_data_unit list_pilot_data list_data_units get_data_unit""",
    "PilotDataService": "create_pilot list_pilots wait cancel get_id get_url",
    "PilotData": """submit_data_unit put_du get_du export_du copy_du remove_du url_for_du list_data_units get_state get_url
        wait cancel""",
    "DataUnit": """add_files remove_files list export add_pilot_data get_pilot_data list_pilot_data get_id get_state get_url
        wait cancel""",
}

KEYWORDS = {
    "PilotComputeService": "coordination_url pcs_url",
    "PilotCompute": "pilot_url",
    "ComputeUnit": "cu_url",
    "ComputeDataService": "cds_url",
    "PilotDataService": "coordination_url pds_url",
    "PilotData": "pd_url",
    "DataUnit": "du_url",
    "PilotDataService.create_pilot": "pilot_data_description",
    "PilotData.submit_data_unit": "data_unit_description data_unit",
    "PilotData.export_du": "data_unit target_url",
    "DataUnit.export": "target_url",
    "DataUnit.add_pilot_data": "pilot_data",
    "PilotComputeService.create_pilot": "pilot_compute_description",
    "PilotCompute.submit_compute_unit": "compute_unit_description",
    "ComputeDataService.submit_compute_unit": "compute_unit_description",
    "ComputeDataService.submit_data_unit": "data_unit_description",
}

STATES = ["Unknown", "New", "Pending", "Running", "Done", "Canceled", "Failed"]

PILOT_KEYS = {
    "service_url": "fork://localhost",
    "number_of_processes": 2,
    "processes_per_node": 1,
    "queue": "normal",
    "project": "TG-1",
    "walltime": 10,
    "working_directory": "/tmp/agent",
    "file_transfer": ["ssh://host/path > BIGJOB_WORK_DIR"],
    "spmd_variation": "single",
    "affinity_datacenter_label": "eu-de-south",
    "affinity_machine_label": "mymachine",
    "candidate_hosts": ["a", "b"],
    "vm_id": "ami-1",
    "vm_type": "m1.small",
    "vm_location": "here",
    "vm_ssh_username": "user",
    "vm_ssh_keyname": "name",
    "vm_ssh_keyfile": "/key",
    "region": "eu",
}
OLD_PILOT_KEYS = {
    "number_executor_threads": 3,
    "wall_time_limit": 10,
    "processes_per_host": 1,
    "input": "in",
    "output": "out",
    "error": "err",
    "allocation": "TG-1",
}

DATA_KEYS = {
    "service_url": "ssh://host/data",
    "size": 100,
    "affinity_datacenter_label": "eu-de-south",
    "affinity_machine_label": "mymachine",
    "userkey": "/key",
}
DATA_UNIT_KEYS = {
    "file_urls": ["ssh://host/data/file"],
    "affinity_datacenter_label": "eu-de-south",
    "affinity_machine_label": "mymachine",
}

UNIT_KEYS = {
    "executable": "/bin/echo",
    "arguments": ["a"],
    "environment": ["K=V"],
    "number_of_processes": 1,
    "spmd_variation": "single",
    "working_directory": "/tmp/here",
    "output": "stdout.txt",
    "error": "stderr.txt",
    "input": "stdin.txt",
    "file_transfer": ["ssh://host/path > SUBJOB_WORK_DIR"],
    "input_data": ["redis://localhost/bigdata:du-1"],
    "output_data": [{"redis://localhost/bigdata:du-2": ["std*"]}],
    "affinity_datacenter_label": "eu-de-south",
    "affinity_machine_label": "mymachine",
}
OLD_UNIT_KEYS = {"total_core_count": 1, "total_cpu_count": 1, "wall_time_limit": 10}


@pytest.mark.parametrize("name", NAMES)
def test_name(name: str) -> None:
    assert hasattr(pilot, name)
    assert name in dir(pilot)
    assert name in pilot.__all__


@pytest.mark.parametrize(
    ("name", "method"), [(name, method) for name, methods in METHODS.items() for method in methods.split()]
)
def test_method(name: str, method: str) -> None:
    assert callable(getattr(getattr(pilot, name), method))


@pytest.mark.parametrize(
    ("name", "keyword"),
    [(name, keyword) for name, keywords in KEYWORDS.items() for keyword in keywords.split()],
)
def test_keyword(name: str, keyword: str) -> None:
    found: object = pilot
    for part in name.split("."):
        found = getattr(found, part)
    assert callable(found)
    assert keyword in inspect.signature(found).parameters


def test_attributes_of_a_service() -> None:
    assert isinstance(inspect.getattr_static(pilot.PilotComputeService, "url"), property)


def test_default_compute_data_service_is_the_decentral_one() -> None:
    assert pilot.ComputeDataService is pilot.ComputeDataServiceDecentral


@pytest.mark.parametrize("name", STATES)
def test_state_is_its_string(name: str) -> None:
    state = getattr(pilot.State, name)
    assert state == name
    assert f"{state}" == str(state) == name


@pytest.mark.parametrize(("key", "value"), [*PILOT_KEYS.items(), *OLD_PILOT_KEYS.items()])
def test_pilot_key(key: str, value: object) -> None:
    description = pilot.PilotComputeDescription()
    setattr(description, key, value)
    assert description[key] == getattr(description, key) == value


@pytest.mark.parametrize(("key", "value"), [*UNIT_KEYS.items(), *OLD_UNIT_KEYS.items()])
def test_unit_key(key: str, value: object) -> None:
    description = pilot.ComputeUnitDescription()
    setattr(description, key, value)
    assert description[key] == getattr(description, key) == value


@pytest.mark.parametrize(("key", "value"), DATA_KEYS.items())
def test_pilot_data_key(key: str, value: object) -> None:
    description = pilot.PilotDataDescription()
    setattr(description, key, value)
    assert description[key] == getattr(description, key) == value


@pytest.mark.parametrize(("key", "value"), DATA_UNIT_KEYS.items())
def test_data_unit_key(key: str, value: object) -> None:
    description = pilot.DataUnitDescription()
    setattr(description, key, value)
    assert description[key] == getattr(description, key) == value


def test_descriptions_are_dicts() -> None:
    assert issubclass(pilot.PilotComputeDescription, dict)
    assert issubclass(pilot.ComputeUnitDescription, dict)
    assert pilot.ComputeUnitDescription(UNIT_KEYS) == UNIT_KEYS


def test_error_has_a_value() -> None:
    assert pilot.PilotError("what failed").value == "what failed"


def test_importing_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in NAMES:
            getattr(pilot, name)
