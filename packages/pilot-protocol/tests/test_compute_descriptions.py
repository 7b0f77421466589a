"""Descriptions of compute units and pilots: what is normalized to what, and what is refused with which words."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilot_protocol.compute_descriptions import PILOT_SCHEMES, validate_compute_unit, validate_pilot_compute
from pilot_protocol.errors import DescriptionError
from pilot_protocol.states import State

ONE_ARGUMENT = 131_071
PILOT = {"service_url": "fork://localhost", "number_of_processes": 1}


@dataclass(frozen=True)
class Unit:
    id: object


@dataclass(frozen=True)
class DataUnitWithProperty:
    url: str


@dataclass(frozen=True)
class DataUnitWithGetter:
    address: str

    def get_url(self) -> str:
        return self.address


def unit(**keys: Any) -> dict[str, Any]:
    """Validate a unit with these keys and return what they became."""
    payload = validate_compute_unit({"executable": "/bin/echo", **keys})
    return {key: value for key, value in payload.items() if key != "executable"}


def pilot(**keys: Any) -> dict[str, Any]:
    """Validate a pilot with these keys and return what they became."""
    payload = validate_pilot_compute({**PILOT, **keys})
    return {key: value for key, value in payload.items() if PILOT.get(key) != value}


def refusal(**keys: Any) -> str:
    """Return the message with which a unit is refused; the error names the one key."""
    with pytest.raises(DescriptionError) as caught:
        unit(**keys)
    assert [caught.value.key] == list(keys)
    return str(caught.value)


def test_the_unit_of_the_first_example() -> None:
    description = {
        "executable": "/bin/echo",
        "arguments": ["Hello", "$ENV1", "I am CU number 1"],
        "environment": ["ENV1=World"],
        "number_of_processes": 1,
        "output": "stdout.txt",
        "error": "stderr.txt",
    }
    assert validate_compute_unit(description) == {**description, "environment": {"ENV1": "World"}}


def test_only_given_keys_are_in_the_payload() -> None:
    assert validate_compute_unit({"executable": "/bin/date", "output": None, "error": ""}) == {
        "executable": "/bin/date"
    }


@pytest.mark.parametrize("missing", [{}, {"executable": None}, {"executable": ""}])
def test_a_unit_needs_an_executable(missing: dict[str, object]) -> None:
    with pytest.raises(DescriptionError, match="has no 'executable'; give the program to run") as caught:
        validate_compute_unit(missing)
    assert caught.value.key == "executable"


def test_the_payload_does_not_change_with_what_the_caller_changes_later() -> None:
    arguments, environment = ["a"], {"A": "1"}
    payload = unit(arguments=arguments, environment=environment)
    arguments.append("b")
    environment["A"] = "2"
    assert payload == {"arguments": ["a"], "environment": {"A": "1"}}


# --- arguments --------------------------------------------------------------------------------------------------------


def test_arguments_become_plain_text() -> None:
    given_arguments = ("a b", "", "*;'\"\n", "Grüße", 3, 2.5, 1e300, Path("/tmp/x"), State.Done)
    expected = ["a b", "", "*;'\"\n", "Grüße", "3", "2.5", "1e+300", "/tmp/x", "Done"]
    normalized = unit(arguments=given_arguments)["arguments"]
    assert normalized == expected
    assert {type(argument) for argument in normalized} == {str}


@pytest.mark.parametrize("value", ["-l /tmp", 3, {"a": 1}, (argument for argument in "ab")])
def test_arguments_that_are_no_list_are_refused(value: object) -> None:
    assert "give a list with one item per argument" in refusal(arguments=value)


@pytest.mark.parametrize("value", [None, ["nested"], True, b"bytes", object()])
def test_arguments_of_other_types_are_refused_with_their_index(value: object) -> None:
    message = refusal(arguments=["a", 1, value])
    assert message.startswith("arguments[2] is ")
    assert message.endswith("; text, a number or a path is allowed")


def test_nul_bytes_are_refused_wherever_they_are() -> None:
    assert refusal(arguments=["a", "b\0c"]).startswith("arguments[1] has a NUL byte")
    assert refusal(arguments=[0, "b\0c"]).startswith("arguments[1] has a NUL byte")
    assert refusal(output="\0").startswith("output has a NUL byte")
    assert refusal(environment={"A": "\0"}).startswith("environment['A'] has a NUL byte")
    assert "NUL byte" in refusal(environment={"\0": "x"})
    assert refusal(pre_exec=["true", "\0"]).startswith("pre_exec[1] has a NUL byte")
    assert refusal(tags={"a": "\0"}).startswith("tags['a'] has a NUL byte")


def test_an_argument_is_as_long_as_linux_allows() -> None:
    assert unit(arguments=["x" * ONE_ARGUMENT, "ü" * (ONE_ARGUMENT // 2)])
    assert refusal(arguments=["a", "b", "c", "x" * 1_048_576]) == (
        "arguments[3] is 1,048,576 bytes long, Linux allows 131,071 for one argument; pass a file instead"
    )
    assert "is 131,072 bytes long" in refusal(arguments=["ü" * 65_536])
    assert "environment['A'] is 131,072 bytes long" in refusal(environment={"A": "x" * 131_070})
    assert unit(environment={"A": "x" * 131_069})


def test_arguments_and_environment_together_are_limited() -> None:
    halves: dict[str, Any] = {
        "arguments": ["x" * 131_071] * 4,
        "environment": {f"V{number}": "y" * 131_000 for number in range(4)},
    }
    assert unit(**halves)
    halves["arguments"].append("x" * 600)
    with pytest.raises(DescriptionError, match="bytes long together, 1,048,576 are allowed; pass a file"):
        unit(**halves)


def test_bytes_that_are_no_utf8_pass_as_escaped_surrogates() -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    assert unit(arguments=[name], output=name) == {"arguments": [name], "output": name}
    assert refusal(arguments=["ok", "\ud800"]).startswith("arguments[1] has '\\ud800', half of a character")


sound_text = st.text(
    st.one_of(
        st.characters(min_codepoint=1, exclude_categories=["Cs"]),
        st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF),
    )
)


@settings(deadline=None)
@given(st.lists(sound_text), st.dictionaries(st.text("ABC_", min_size=1), sound_text))
def test_any_text_reaches_the_other_side_as_it_is(arguments: list[str], environment: dict[str, str]) -> None:
    payload = validate_compute_unit({"executable": "x", "arguments": arguments, "environment": environment})
    received = json.loads(json.dumps(payload, ensure_ascii=True).encode("ascii"))
    assert received == payload
    assert received["arguments"] == arguments
    assert received["environment"] == environment
    as_list = [f"{name}={value}" for name, value in environment.items()]
    assert unit(environment=as_list)["environment"] == environment


# --- environment ------------------------------------------------------------------------------------------------------


def test_environment_becomes_text_by_name() -> None:
    expected = {"A": "1", "B": "x=y", "C": "", "D": "2.5", "E": "cu-a-1"}
    as_dict = {"A": 1, "B": "x=y", "C": "", "D": 2.5, "E": Unit("cu-a-1")}
    assert unit(environment=as_dict) == {"environment": expected}
    assert list(unit(environment=as_dict)["environment"]) == list("ABCDE")
    assert unit(environment=["A=1", "B=x=y", "C=", "D=2.5", "E=cu-a-1"]) == {"environment": expected}


def test_of_two_values_the_later_counts() -> None:
    assert unit(environment=["A=1", "A=2"]) == {"environment": {"A": "2"}}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("A=1", "environment is 'A=1'; give a dict, or a list of NAME=value"),
        (["A=1", "B"], "environment[1] is 'B'; give NAME=value"),
        (["A=1", 3], "environment[1] is 3; give NAME=value"),
        (["=1"], "environment has a variable named ''"),
        ({"": "1"}, "environment has a variable named ''"),
        ({"A=B": "1"}, "environment has a variable named 'A=B'"),
        ({3: "1"}, "environment has a variable named 3"),
        ({"A": None}, "environment['A'] is None; text or a number is allowed"),
        ({"A": True}, "environment['A'] is True; text or a number is allowed"),
        ({"A": ["x"]}, "environment['A'] is ['x']; text or a number is allowed"),
        ({"A": Unit(id=3)}, "environment['A'] is Unit(id=3); text or a number is allowed"),
    ],
)
def test_environment_is_refused(value: object, words: str) -> None:
    assert refusal(environment=value).startswith(words)


# --- numbers, words, flags --------------------------------------------------------------------------------------------

WHOLE_FROM = {
    "number_of_processes": 1,
    "threads_per_process": 1,
    "memory_mb": 0,
    "retries": 0,
    "max_restarts": 0,
    "priority": -1000,
}


@pytest.mark.parametrize(("key", "least"), WHOLE_FROM.items())
def test_whole_numbers(key: str, least: int) -> None:
    for value in (least, str(least), float(least), 12, "12", 12.0):
        number = unit(**{key: value})[key]
        assert number == float(value)
        assert type(number) is int
    for refused in (least - 1, 1.5, "1.5", "four", True, [1], float("nan"), float("inf"), 2**31, 10**400):
        assert f"a whole number from {least} to " in refusal(**{key: refused})


def test_gpus_are_whole_or_a_share() -> None:
    for value in (0, 3, "2", 2.0, 0.25, 0.001):
        assert unit(gpus_per_process=value)["gpus_per_process"] == float(value)
    for refused in (-1, 1.5, 0.0001, "0.5", "four", True, float("nan"), float("inf"), 2**31):
        message = refusal(gpus_per_process=refused)
        assert "a whole number from 0, or a share from 0.001 to 1, is allowed" in message


def test_processes_of_one_program_share_no_gpu() -> None:
    with pytest.raises(DescriptionError, match="needs one process, or spmd_variation mpi"):
        unit(gpus_per_process=0.5, number_of_processes=2)
    assert unit(gpus_per_process=0.5, number_of_processes=2, spmd_variation="mpi")


def test_placements_are_known_words() -> None:
    assert unit(placement="whole_nodes") == {"placement": "whole_nodes"}
    assert "pack, spread, whole_nodes" in refusal(placement="scatter")


def test_priorities_have_a_narrow_range_because_each_is_a_queue() -> None:
    assert unit(priority=1000) == {"priority": 1000}
    assert refusal(priority=1001) == "priority is 1001; a whole number from -1000 to 1000 is allowed"


@pytest.mark.parametrize("value", [0.5, 10, "10", "0.5"])
def test_walltime_is_in_minutes(value: float | str) -> None:
    walltime = unit(walltime=value)["walltime"]
    assert walltime == float(value)
    assert type(walltime) is float


@pytest.mark.parametrize("value", [0, -1, "soon", True, [1], float("nan"), float("inf"), 10**400])
def test_walltimes_that_never_come_are_refused(value: object) -> None:
    assert "a number above 0 and up to 2147483647 is allowed" in refusal(walltime=value)


def test_words_are_written_in_any_case() -> None:
    assert unit(spmd_variation="MPI") == {"spmd_variation": "mpi"}
    assert unit(on_dependency_failure="Run") == {"on_dependency_failure": "run"}
    assert refusal(spmd_variation="openmp") == "spmd_variation is 'openmp'; allowed: single, mpi"
    assert refusal(on_dependency_failure=1) == "on_dependency_failure is 1; allowed: cancel, run"


def test_flags_are_truth_values() -> None:
    assert unit(expand_arguments=False) == {"expand_arguments": False}
    assert refusal(expand_arguments="no") == "expand_arguments is 'no'; True or False is allowed"


def test_paths_may_be_path_objects() -> None:
    keys = {
        "executable": Path("/bin/cat"),
        "working_directory": Path("/tmp"),
        "input": "in",
        "output": Path("out"),
    }
    assert validate_compute_unit(keys) == {
        "executable": "/bin/cat",
        "working_directory": "/tmp",
        "input": "in",
        "output": "out",
    }
    assert refusal(output=3) == "output is 3; give text"
    assert refusal(name=Path("x")).endswith("; give text")


def test_lists_of_lines() -> None:
    assert unit(pre_exec=["module load gromacs"], post_exec=()) == {
        "pre_exec": ["module load gromacs"],
        "post_exec": [],
    }
    assert refusal(pre_exec="module load x") == "pre_exec is 'module load x'; give a list of text"
    assert refusal(post_exec=["a", ""]) == "post_exec[1] is empty; fill it in or leave it out"


def test_tags_are_a_list_or_a_dict() -> None:
    assert unit(tags=["a", "b"]) == {"tags": ["a", "b"]}
    assert unit(tags={"run": 3, "kind": "md"}) == {"tags": {"run": "3", "kind": "md"}}
    assert refusal(tags="a").endswith("give a list of tags, or a dict")
    assert refusal(tags={"a": None}) == "tags['a'] is None; give text"


def test_file_transfers_have_a_source_and_a_target() -> None:
    transfers = ["ssh://host/data/in.txt > SUBJOB_WORK_DIR", "ssh://host/data/ < out.txt"]
    assert unit(file_transfer=transfers) == {"file_transfer": transfers}
    for wrong in ("in.txt", "> a", "a <", "a > b > c", "a < b > c"):
        assert refusal(file_transfer=[*transfers, wrong]) == (
            f"file_transfer[2] is {wrong!r}; give 'source > target', or 'target < source' for after the end"
        )
    assert refusal(file_transfer=transfers[0]).endswith("give a list of 'source > target'")


@pytest.mark.parametrize("transfer", ["ssh://me:secret@host/a > b", "ssh://me:secret@host/a < b"])
def test_file_transfers_hold_no_password(transfer: str) -> None:
    message = refusal(file_transfer=[transfer])
    assert message.startswith("file_transfer[0] holds a password")
    assert "secret" not in message


def test_long_values_are_shortened_in_messages() -> None:
    assert len(refusal(walltime="x" * 10_000)) < 200


# --- references -------------------------------------------------------------------------------------------------------


def test_predecessors_are_units_or_ids_each_once() -> None:
    assert unit(depends_on=["cu-a-1", Unit("cu-a-2"), Unit("cu-a-1")]) == {"depends_on": ["cu-a-1", "cu-a-2"]}
    assert unit(depends_on={"cu-a-1"}) == {"depends_on": ["cu-a-1"]}
    assert refusal(depends_on="cu-a-1").endswith("give a list of compute units or their ids")
    assert refusal(depends_on=["cu-a-1", 7]) == "depends_on[1] is 7; a compute unit or its id is allowed"
    assert refusal(depends_on=[""]).startswith("depends_on[0] is empty")


@pytest.mark.parametrize(
    "value",
    [
        ["du-1", {"du-2": ["*.txt"]}],
        [DataUnitWithProperty("du-1"), {DataUnitWithProperty("du-2"): ["*.txt"]}],
        [DataUnitWithGetter("du-1"), {DataUnitWithGetter("du-2"): ["*.txt"]}],
        {"du-1": ["*"], "du-2": ("*.txt", "*.txt")},
        [{"du-1": ["*"]}, {"du-2": ["*.txt"]}, {"du-2": ["*.txt"]}],
    ],
)
def test_input_data_becomes_patterns_by_url(value: object) -> None:
    assert unit(input_data=value) == {"input_data": {"du-1": ["*"], "du-2": ["*.txt"]}}


def test_output_data_becomes_patterns_by_url() -> None:
    value = [{DataUnitWithGetter("du-1"): ["std*", "*.log"]}]
    assert unit(output_data=value) == {"output_data": {"du-1": ["std*", "*.log"]}}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("./a.dat", "a.dat"),
        ("results/", "results"),
        ("a//b", "a/b"),
        ("./", "*"),
        (".", "*"),
        (".x/..y", ".x/..y"),
    ],
)
def test_patterns_are_written_as_paths_are(given: str, meant: str) -> None:
    assert unit(output_data=[{"du-1": [given, meant]}]) == {"output_data": {"du-1": [meant]}}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("input_data", "du-1", "input_data is 'du-1'; give a list of data units"),
        ("input_data", [3], "input_data[0] is 3; a data unit or its URL is allowed"),
        (
            "input_data",
            [{"du-1": "*.txt"}],
            "input_data[0] has '*.txt' for a data unit; give a list of patterns",
        ),
        ("input_data", [{"du-1": []}], "input_data[0] has no pattern for a data unit; give one at least"),
        ("input_data", [{"du-1": ["a", "../b"]}], "input_data[0][1] is '../b', which no file matches"),
        ("input_data", [{"": ["*"]}], "input_data[0] is empty"),
        ("output_data", ["du-1"], "output_data[0] is 'du-1'; give {data unit: ['pattern', ...]}"),
        ("output_data", [{"du-1": [""]}], "output_data[0][0] is empty"),
        ("output_data", [{"du-1": ["/tmp/*"]}], "output_data[0][0] is '/tmp/*', which no file matches"),
        ("output_data", [{"du-1": ["a/../b"]}], "output_data[0][0] is 'a/../b', which no file matches"),
    ],
)
def test_data_is_refused(key: str, value: object, words: str) -> None:
    assert refusal(**{key: value}).startswith(words)


# --- BigJob's old keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", ["total_core_count", "total_cpu_count"])
def test_old_keys_of_units_lead_to_the_present_ones(old: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old!r} is old; use 'number_of_processes'") as caught:
        assert unit(**{old: 4}) == {"number_of_processes": 4}
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    "keys", [("total_core_count", "number_of_processes"), ("number_of_processes", "total_core_count")]
)
def test_the_present_key_wins_over_the_old_one(keys: tuple[str, str]) -> None:
    values = {"total_core_count": 4, "number_of_processes": 2}
    with pytest.warns(DeprecationWarning, match="'total_core_count' is old"):
        assert unit(**{key: values[key] for key in keys}) == {"number_of_processes": 2}


def test_present_keys_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pilot(walltime=10)


# --- pilots -----------------------------------------------------------------------------------------------------------


def test_the_pilot_of_the_first_example() -> None:
    description = {**PILOT, "working_directory": "/home/u/agent", "walltime": 10}
    assert validate_pilot_compute(description) == description


def test_the_unfilled_fields_of_the_tutorials_count_as_not_given() -> None:
    assert pilot(queue="", project=None, walltime="", processes_per_node="", spmd_variation="") == {}


def test_old_keys_of_pilots() -> None:
    with pytest.warns(DeprecationWarning, match="is old; use "):
        assert pilot(wall_time_limit=10, processes_per_host="8", allocation="TG-1") == {
            "walltime": 10.0,
            "processes_per_node": 8,
            "project": "TG-1",
        }
    for key in ("input", "output", "error", "number_executor_threads"):
        with pytest.warns(DeprecationWarning, match=f"{key!r} is ignored; "):
            assert pilot(**{key: "x"}) == {}


def test_a_pilot_needs_a_place_and_a_size() -> None:
    with pytest.raises(DescriptionError, match="has no 'service_url'; give the URL"):
        validate_pilot_compute({"number_of_processes": 1})
    with pytest.raises(DescriptionError, match="neither 'number_of_processes' nor 'number_of_nodes'"):
        validate_pilot_compute({"service_url": "fork://localhost"})
    assert (
        validate_pilot_compute({"service_url": "slurm://localhost", "number_of_nodes": "2"})[
            "number_of_nodes"
        ]
        == 2
    )


def test_sizes_of_a_pilot_must_not_contradict_one_another() -> None:
    assert pilot(number_of_processes=7, number_of_nodes=2, processes_per_node=4)
    with pytest.raises(
        DescriptionError, match="number_of_processes is 9; 2 nodes with 4 processes each have 8"
    ):
        pilot(number_of_processes=9, number_of_nodes=2, processes_per_node=4)


@pytest.mark.parametrize("scheme", PILOT_SCHEMES)
def test_known_schemes(scheme: str) -> None:
    url = f"{scheme}://user@login.cluster:2222/"
    assert pilot(service_url=url) == {"service_url": url}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost", "service_url is 'localhost', which is no URL"),
        ("slrum://localhost", "service_url has the unknown scheme 'slrum'; did you mean 'slurm'?"),
        ("gopher://localhost", "service_url has the unknown scheme 'gopher'; known are fork, ssh, "),
        ("ssh://[::1/", "service_url is 'ssh://[::1/', which is no URL: "),
        (3, "service_url is 3; give text"),
    ],
)
def test_other_urls_are_refused(url: object, words: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        pilot(service_url=url)
    assert str(caught.value).startswith(words)


def test_schemes_are_written_in_any_case_and_as_bigjob_did() -> None:
    assert pilot(service_url="SLURM+SSH://Login") == {"service_url": "slurm+ssh://Login"}
    with pytest.warns(DeprecationWarning, match="'pbs-ssh' is now pbs\\+ssh"):
        assert pilot(service_url="pbs-ssh://login") == {"service_url": "pbs+ssh://login"}


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(DescriptionError, match="service_url holds a password") as caught:
        pilot(service_url="ssh://user:hunter2@login")
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(vars(caught.value))


def test_the_other_keys_of_pilots() -> None:
    keys = {
        "number_of_nodes": 2,
        "processes_per_node": 8,
        "gpus_per_node": 1,
        "memory_per_node_mb": 4096,
        "queue": "normal",
        "project": "TG-1",
        "candidate_hosts": ["a", "b"],
        "spmd_variation": "12way",
        "file_transfer": ["in.txt > BIGJOB_WORK_DIR"],
        "affinity_datacenter_label": "eu",
        "affinity_machine_label": "m1",
        "environment": {"A": "1"},
        "setup": ["module load python"],
        "python": "/usr/bin/python3",
        "tunnel": True,
        "agent_options": {"lease_s": 10, "on_partition": "stop", "executors": 2, "pin": False, "share": 0.5},
        "vm_id": "ami-1",
        "vm_type": "c1.xlarge",
        "vm_location": "eu",
        "vm_ssh_username": "root",
        "vm_ssh_keyname": "key",
        "vm_ssh_keyfile": "~/.ssh/key",
        "region": "eu-west-1",
    }
    assert pilot(**keys) == keys


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["lease_s"], "agent_options is ['lease_s']; give a dict"),
        ({3: "x"}, "agent_options is 3; give text"),
        ({"lease_s": None}, "agent_options['lease_s'] is None; text, a number, True or False is allowed"),
    ],
)
def test_options_of_the_agent_are_names_with_plain_values(value: object, words: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        pilot(agent_options=value)
    assert str(caught.value) == words
