"""What radical.saga is told of a job, whatever the batch system."""

from __future__ import annotations

import shlex

import pytest

from pilot.submission.saga.descriptions import common_attributes, per_node, refuse
from pilot_protocol.errors import SubmissionError
from saga_jobs import job


def test_a_plain_job_is_one_script_with_absolute_paths_and_without_environment() -> None:
    assert common_attributes(job(queue="debug", project="chem", walltime_min=1.5)) == {
        "name": "pilot-p-1",
        "wall_time_limit": 2,
        "queue": "debug",
        "project": "chem",
        "executable": "exec /work/p-1/job.sh",
        "working_directory": "/work/p-1",
        "output": "/work/p-1/out",
        "error": "/work/p-1/err",
    }


def test_the_script_is_not_made_the_shells_successor_where_saga_has_lines_after_it() -> None:
    assert common_attributes(job(), becomes=False)["executable"] == "/work/p-1/job.sh"


@pytest.mark.parametrize("folder", ["/a b", "/a'b", '/a"b', "/a$b", "/a%j", "/a:b", "/a;b"])
def test_a_folder_that_needs_quotes_is_known_to_our_own_line_only(folder: str) -> None:
    attributes = common_attributes(job(folder=folder))
    assert attributes["output"] == attributes["error"] == "/dev/null"
    assert "working_directory" not in attributes
    assert attributes["executable"].startswith(f"cd {shlex.quote(folder)} && exec ")


@pytest.mark.parametrize("folder", ["/a`b", "/a\\b", "/a!b", "/a\nb"])
def test_a_folder_beyond_quoting_is_refused(folder: str) -> None:
    with pytest.raises(SubmissionError, match="give another working_directory"):
        common_attributes(job(folder=folder))


@pytest.mark.parametrize("value", ["a b", 'a"', "a\nb", "$(x)", "a;b"])
@pytest.mark.parametrize("key", ["queue", "project"])
def test_values_that_could_become_commands_are_refused(key: str, value: str) -> None:
    with pytest.raises(SubmissionError, match=f"{key} is "):
        common_attributes(job(**{key: value}))


@pytest.mark.parametrize(
    ("wish", "nodes_and_cores"),
    [
        ({"cores": 1}, (1, 1)),
        ({"cores": 4}, (1, 4)),
        ({"cores": 5}, (2, 3)),
        ({"cores": 5, "processes_per_node": 1}, (5, 1)),
        ({"cores": None}, (1, 4)),
        ({"cores": None, "nodes": 3}, (3, 4)),
        ({"cores": None, "nodes": 2, "processes_per_node": 2}, (2, 2)),
        ({"cores": 4, "nodes": 2}, (2, 2)),
    ],
)
def test_cores_become_nodes(wish: dict[str, int | None], nodes_and_cores: tuple[int, int]) -> None:
    assert per_node(job(**wish), cores_of_node=4) == nodes_and_cores


def test_what_cannot_be_asked_for_is_refused_by_the_key_of_the_description() -> None:
    with pytest.raises(
        SubmissionError, match=r"memory_per_node_mb is 5, which radical\.saga cannot ask X for"
    ):
        refuse(job(memory_per_node_mb=5), "X", ["gpus_per_node", "memory_per_node_mb"])
