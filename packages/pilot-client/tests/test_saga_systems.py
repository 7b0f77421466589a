"""Each batch system's requests, and what is made of its answers."""

from __future__ import annotations

from typing import Any

import pytest

from pilot.submission.queue import JobPhase, JobState
from pilot.submission.saga import pbspro as saga_pbspro
from pilot.submission.saga import sge as saga_sge
from pilot.submission.saga import slurm as saga_slurm
from pilot.submission.saga.pbspro import PbsProSystem
from pilot.submission.saga.sge import ACCOUNTING_DELAY_S, SgeSystem
from pilot.submission.saga.slurm import Nodes, Partition, SlurmSystem
from pilot.submission.saga.systems import SagaSystem, ShellAnswer, removal_failures, saga_state
from pilot_protocol.errors import SubmissionError
from saga_jobs import ToldTarget, job

QUEUED, RUNNING, ENDED, UNKNOWN = JobPhase.QUEUED, JobPhase.RUNNING, JobPhase.ENDED, JobPhase.UNKNOWN

SINFO = "debug|debug*|2:00:00|2|4|2000|gpu:2\ndebug|debug*|2:00:00|1|16+|64000|(null)\nshort|short|5:00|2|4|2000|gpu:2\n"


def test_partitions_are_read() -> None:
    assert saga_slurm.partitions(SINFO) == [
        Partition("debug", True, 120.0, (Nodes(2, 4, 2000, 2), Nodes(1, 16, 64000, 0))),
        Partition("short", False, 5.0, (Nodes(2, 4, 2000, 2),)),
    ]


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("5:00", 5.0), ("1-02:03:30", 1563.5), ("infinite", None), ("n/a", None), ("2:00:00", 120.0)],
)
def test_limits_are_read(text: str, minutes: float | None) -> None:
    assert saga_slurm.minutes(text) == minutes


@pytest.mark.parametrize(
    ("wish", "nodes"),
    [({"cores": 5}, 1), ({"cores": 20}, 5), ({"cores": 8, "gpus_per_node": 1}, 2)],
)
def test_slurm_nodes_are_those_that_can_do_it(wish: dict[str, Any], nodes: int) -> None:
    known = saga_slurm.partitions(SINFO.replace("|2|4|", "|6|4|"))
    request = saga_slurm.describe(job(**wish), known)
    assert f"#SBATCH --nodes={nodes}\n" in request.edits[0][1]
    assert request.attributes["queue"] == "debug"


def test_slurm_without_a_default_partition_wants_a_queue() -> None:
    with pytest.raises(SubmissionError, match="give the key queue, one of: debug"):
        saga_slurm.describe(job(), saga_slurm.partitions("debug|debug|5:00|1|4|2000|(null)"))


def test_slurm_that_does_not_answer_takes_no_pilot() -> None:
    with pytest.raises(SubmissionError, match="Unable to contact"):
        SlurmSystem().request(job(), ToldTarget({"sinfo": (1, "sinfo: Unable to contact slurm controller")}))


def test_slurm_states_come_from_one_command_and_the_forgotten_ones_from_the_accounting() -> None:
    squeue = (
        "1   FAILED     768  NonZeroExitCode\n2   PENDING    0  PartitionConfig\n3   RUNNING    0  None\n"
        "4   TIMEOUT    0    TimeLimit\n5   CANCELLED  15   None\n6   NEW_WORD  0  None\n9 COMPLETED 0 None\n"
    )
    sacct = "7|CANCELLED by 0|0:15\n8|FAILED|3:0\n"
    target = ToldTarget({"squeue": (0, squeue), "sacct": (0, sacct)})
    assert SlurmSystem().states([*"123456789", "10"], target) == {
        "1": JobState(ENDED, 3),
        "2": JobState(QUEUED, None, "PartitionConfig"),
        "3": JobState(RUNNING),
        "4": JobState(ENDED, None, "TIMEOUT TimeLimit"),
        "5": JobState(ENDED, -15, "CANCELLED"),
        "6": JobState(UNKNOWN),
        "7": JobState(ENDED, -15, "CANCELLED"),
        "8": JobState(ENDED, 3),
        "9": JobState(ENDED, 0),
        "10": JobState(ENDED, None, "Slurm does not know the job any more"),
    }
    assert len(target.commands) == 2


def test_slurm_that_does_not_answer_is_no_news() -> None:
    target = ToldTarget({"squeue": (1, "slurm_load_jobs error: Unable to contact slurm controller")})
    assert SlurmSystem().states(["1"], target)["1"].phase is UNKNOWN


def test_slurm_without_accounting_has_forgotten() -> None:
    answers = {"squeue": (1, "slurm_load_jobs error: Invalid job id specified"), "sacct": (1, "disabled")}
    assert SlurmSystem().states(["1"], ToldTarget(answers))["1"].phase is ENDED


SURVEY = """\
slots all.q@a 0/0/4
slots all.q@b 0/0/4
slots short.q@a 0/0/4
queue all.q
queue short.q
fits all.q@a
fits all.q@b
pe mpi $fill_up all.q@a all.q@b short.q@a
pe lone $pe_slots
pe smp $pe_slots all.q@a all.q@b
pe two 2 all.q@a all.q@b
"""


@pytest.mark.parametrize(("cores", "chosen"), [(1, None), (2, "smp"), (4, "smp"), (5, "mpi"), (8, "mpi")])
def test_the_parallel_environment_is_the_closest_one_that_holds_the_cores(
    cores: int, chosen: str | None
) -> None:
    request = saga_sge.describe(job(cores=cores), saga_sge.offers(SURVEY))
    assert request.attributes.get("spmd_variation") == chosen
    assert request.allowed == ({"spmd_variation": [chosen]} if chosen else {})


def test_no_parallel_environment_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(
        SubmissionError, match=r"9 slots .* lone \(\$pe_slots, 0 slots\), mpi \(\$fill_up, 8 slots\)"
    ):
        saga_sge.describe(job(cores=9), saga_sge.offers(SURVEY))


def test_a_walltime_that_no_queue_takes_is_refused() -> None:
    nothing_fits = saga_sge.offers(SURVEY.replace("fits", "not"))
    with pytest.raises(SubmissionError, match="no queue of Grid Engine takes a walltime of 10 min"):
        saga_sge.describe(job(), nothing_fits)
    assert saga_sge.describe(job(queue="nosuch"), nothing_fits).attributes["queue"] == "nosuch"


def test_sge_notes_go_nowhere_when_the_folder_needs_quotes() -> None:
    offered = saga_sge.offers(SURVEY)
    assert saga_sge.describe(job(), offered).scratch == "/work/p-1"
    assert saga_sge.describe(job(folder="/a b"), offered).scratch == "/dev/null"


def test_sge_states_wait_for_the_accounting() -> None:
    now = [100.0]
    system = SgeSystem({}, clock=lambda: now[0])
    target = ToldTarget(
        {"qstat": (0, "1 r\n2 qw\n3 Eqw\n4 hqw\n"), "qacct": (1, "error: job id 5 not found")}
    )
    states = system.states(list("12345"), target)
    assert [state.phase for state in states.values()] == [RUNNING, QUEUED, QUEUED, QUEUED, UNKNOWN]
    now[0] += ACCOUNTING_DELAY_S
    assert system.states(["5"], target)["5"].phase is ENDED


@pytest.mark.parametrize(
    ("record", "state"),
    [
        ("failed       0    \nexit_status  3   \n", JobState(ENDED, 3)),
        (
            "failed       100 : assumedly after job\nexit_status  137 \n",
            JobState(ENDED, -9, "failed 100 : assumedly after job"),
        ),
        ("qname  all.q\n", None),
    ],
)
def test_sge_accounting_is_read(record: str, state: JobState | None) -> None:
    assert saga_sge.accounting_state(record) == state


def test_sge_that_does_not_answer_is_no_news() -> None:
    target = ToldTarget({"qstat": (0, "error: commlib error: got select error (Connection refused)")})
    assert SgeSystem({}).states(["1"], target)["1"].phase is UNKNOWN


PBSNODES = "node1\n  pcpus = 2\n  resources_available.ncpus = 4\n  resources_available.ngpus = 2\n\nnode2\n  resources_available.ncpus = 8\n"
QSTAT = (
    "Job Id: 1.head\n    job_state = R\n    comment = Job run at Sun\n\t Nov 22\n\nJob Id: 2.head\n    job_state = F\n"
    "    Exit_status = 3\n\nJob Id: 3.head\n    job_state = F\n    Exit_status = 271\n\nJob Id: 4.head\n    job_state = F\n"
    "    Exit_status = -29\n    comment = over the walltime\n\nqstat: Unknown Job Id 5.head\n"
)


def test_pbs_chunks_are_asked_for_exactly() -> None:
    nodes = saga_pbspro.nodes_of(PBSNODES)
    request = saga_pbspro.describe(job(cores=8, gpus_per_node=1, memory_per_node_mb=100), nodes)
    assert request.attributes["total_cpu_count"] == 8
    assert request.attributes["processes_per_host"] == 4
    old, new = request.edits[0]
    assert old == "#PBS -l select=2:ncpus=4\n"
    assert new == "#PBS -l select=2:ncpus=4:mpiprocs=4:ngpus=1:mem=100mb\n#PBS -l place=scatter\n#PBS -r n\n"


def test_pbs_whole_nodes_are_asked_for_alone() -> None:
    request = saga_pbspro.describe(job(cores=None, nodes=2), saga_pbspro.nodes_of(PBSNODES))
    assert "select=2:ncpus=8:mpiprocs=8\n#PBS -l place=scatter:excl\n" in request.edits[0][1]


def test_pbs_nodes_that_nobody_has_are_refused() -> None:
    with pytest.raises(SubmissionError, match="the largest have 8 cores and 2 gpus"):
        saga_pbspro.describe(job(gpus_per_node=3), saga_pbspro.nodes_of(PBSNODES))


def test_pbs_states_are_read() -> None:
    target = ToldTarget({"qstat": (153, QSTAT)})
    assert PbsProSystem().states(list("12345"), target) == {
        "1": JobState(RUNNING, None, "Job run at Sun Nov 22"),
        "2": JobState(ENDED, 3),
        "3": JobState(ENDED, -15),
        "4": JobState(ENDED, None, "over the walltime"),
        "5": JobState(ENDED, None, "PBS does not know the job any more"),
    }


def test_pbs_that_does_not_answer_is_no_news() -> None:
    target = ToldTarget({"qstat": (1, "qstat: cannot connect to server head (errno=111)")})
    assert PbsProSystem().states(["1"], target)["1"].phase is UNKNOWN


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"state": "Pending"}, JobState(QUEUED)),
        ({"state": "Suspended"}, JobState(RUNNING)),
        ({"state": "Unknown"}, JobState(UNKNOWN)),
        ({"state": "Done", "exit_code": "0"}, JobState(ENDED, 0)),
        ({"state": "Canceled", "exit_code": "Canceled"}, JobState(ENDED, None, "Canceled")),
        ({"error": "bjobs: Illegal job ID."}, JobState(ENDED, None, "bjobs: Illegal job ID.")),
        ({"error": "read from process failed"}, JobState(UNKNOWN, None, "read from process failed")),
    ],
)
def test_what_saga_says_is_translated(told: dict[str, Any], state: JobState) -> None:
    assert saga_state(told) == state


def test_other_systems_are_asked_through_saga() -> None:
    system = SagaSystem("LoadLeveler", ["gpus_per_node"], invented_queue="#@ class = edison\n")
    target = ToldTarget(told={"1": {"state": "Running"}}, failures={"1": "no way", "2": "job does not exist"})
    request = system.request(job(queue="micro", cores=4), target)
    assert request.attributes["executable"] == "/work/p-1/job.sh"
    assert request.attributes["total_cpu_count"] == 4
    assert (request.attributes["queue"], request.edits) == ("micro", [])
    assert system.request(job(cores=4), target).edits == [("#@ class = edison\n", "")]
    assert system.states(["1"], target) == {"1": JobState(RUNNING)}
    assert system.cancel(["1", "2"], target) == {"1": "no way"}


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"queue": "micro", "gpus_per_node": 1}, "gpus_per_node"),
        ({"queue": "micro", "cores": None}, "whole nodes; give number_of_processes"),
        ({"queue": "micro", "folder": "/a b"}, "give a working_directory"),
    ],
)
def test_other_systems_refuse_what_they_cannot_do(wish: dict[str, Any], words: str) -> None:
    system = SagaSystem("LoadLeveler", ["gpus_per_node"], takes_shell=False)
    with pytest.raises(SubmissionError, match=words):
        system.request(job(**wish), ToldTarget())


def test_complaints_about_jobs_that_have_ended_are_harmless() -> None:
    answer = ShellAnswer(1, 'denied: job "1" does not exist\n2 - you do not have the necessary privileges\n')
    assert removal_failures(["1", "2"], answer, "does not exist") == {
        "2": "2 - you do not have the necessary privileges"
    }
    assert removal_failures(["1"], ShellAnswer(1, 'denied: job "1" does not exist'), "does not exist") == {}
    assert removal_failures(["1"], ShellAnswer(1, "cannot connect"), "does not exist") == {
        "1": "cannot connect"
    }
