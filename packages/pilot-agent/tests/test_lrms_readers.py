"""What is made of the environment of a batch job, for each batch system."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

import recorded_jobs as jobs
from pilot_agent.lrms.allocation import Allocation, BatchSystem, Findings, NodeShare, tell_restart
from pilot_agent.lrms.cobalt import COBALT
from pilot_agent.lrms.condor import CONDOR
from pilot_agent.lrms.loadl import LOADL
from pilot_agent.lrms.lsf import LSF
from pilot_agent.lrms.pbs import PBS
from pilot_agent.lrms.sge import SGE
from pilot_agent.lrms.slurm import SLURM

NOW_S, STARTED_S = 1000.0, 900.0
PBS_STARTED_S = datetime(2026, 11, 22, 16, 44, 36).timestamp()  # noqa: DTZ001 - the batch system's local time

ALL = {
    SLURM: jobs.SLURM,
    PBS: jobs.PBS_PRO,
    SGE: jobs.SGE,
    LSF: jobs.LSF,
    CONDOR: jobs.CONDOR,
    LOADL: jobs.LOADL,
    COBALT: jobs.COBALT,
}


def read(
    system: BatchSystem,
    environment: Mapping[str, str],
    files: Mapping[str, str] | None = None,
    status: str = "",
    **changes: str,
) -> Allocation:
    return system.read(Findings({**environment, **changes}, files or {}, status, NOW_S, STARTED_S))


@pytest.mark.parametrize(("system", "environment"), ALL.items())
def test_a_job_is_recognized_by_its_own_batch_system_alone(
    system: BatchSystem, environment: Mapping[str, str]
) -> None:
    assert [other for other in ALL if other.is_here(environment)] == [system]
    assert not system.is_here({"PATH": "/bin"})


@pytest.mark.parametrize(
    ("system", "environment", "command"),
    [
        (SLURM, jobs.SLURM, "squeue -h -j 7 -o %L"),
        (SLURM, {**jobs.SLURM, "SLURM_JOB_END_TIME": "1700000000"}, ""),
        (PBS, jobs.PBS_PRO, "qstat -f 1001.head"),
        (SGE, jobs.SGE, "qstat -j 3"),
        (LSF, jobs.LSF, "bjobs -noheader -o time_left 901545"),
        (LSF, {**jobs.LSF, "LSB_JOBINDEX": "4"}, "bjobs -noheader -o time_left 901545[4]"),
        (CONDOR, jobs.CONDOR, ""),
        (LOADL, jobs.LOADL, "llq -l loadl01.example.org.123.0"),
        (COBALT, jobs.COBALT, ""),
        (COBALT, {"COBALT_JOBID": "5"}, "qstat --full --long 5"),
    ],
)
def test_only_what_the_environment_does_not_tell_is_asked_for(
    system: BatchSystem, environment: Mapping[str, str], command: str
) -> None:
    assert " ".join(system.command(environment)) == command


def test_slurm() -> None:
    assert read(SLURM, jobs.SLURM, status=jobs.SLURM_LEFT) == Allocation(
        system="slurm",
        job="7",
        nodes=(NodeShare("node1", 4, ("0", "1"), 2000), NodeShare("node2", 4, 2, 2000)),
        end_s=NOW_S + 270,
        submit_host="login1",
    )


@pytest.mark.parametrize(
    ("changes", "nodes"),
    [
        ({"SLURM_JOB_CPUS_PER_NODE": "4,2"}, [("node1", 4), ("node2", 2)]),
        ({"SLURM_JOB_CPUS_PER_NODE": "4"}, [("node1", 4), ("node2", 4)]),
        ({"SLURM_JOB_NODELIST": "a[09-10],b", "SLURM_JOB_CPUS_PER_NODE": "8(x2),1"},
         [("a09", 8), ("a10", 8), ("b", 1)]),
    ],
)  # fmt: skip
def test_slurm_tells_the_cores_of_each_node(changes: dict[str, str], nodes: list[Any]) -> None:
    assert [(share.name, share.cores) for share in read(SLURM, {**jobs.SLURM, **changes}).nodes] == nodes


def test_slurm_names_gpus_on_the_node_of_the_agent() -> None:
    there = read(SLURM, jobs.SLURM, SLURMD_NODENAME="node2").nodes
    assert [share.gpus for share in there] == [2, ("0", "1")]
    without_driver = {
        name: value for name, value in jobs.SLURM.items() if not name.endswith(("DEVICES", "ORDINAL"))
    }
    assert read(SLURM, without_driver, SLURM_JOB_GPUS="2,3").nodes[0].gpus == ("2", "3")
    counted = {name: value for name, value in without_driver.items() if name != "SLURM_JOB_GPUS"}
    assert read(SLURM, counted).nodes[0].gpus == 2


@pytest.mark.parametrize(
    ("changes", "memory_mb"),
    [({"SLURM_MEM_PER_NODE": "3000"}, 3000), ({"SLURM_MEM_PER_CPU": "0"}, None)],
)
def test_slurm_limits_memory_by_node_or_by_core(changes: dict[str, str], memory_mb: int | None) -> None:
    assert read(SLURM, {**jobs.SLURM, **changes}).nodes[0].memory_mb == memory_mb


@pytest.mark.parametrize(
    ("status", "left_s"),
    [("1-02:03:04", 93784), ("2:00", 120), ("UNLIMITED", None), ("", None), ("INVALID", None), ("0:00", 0)],
)
def test_slurm_tells_what_is_left_or_nothing(status: str, left_s: int | None) -> None:
    end_s = read(SLURM, jobs.SLURM, status=status).end_s
    assert end_s == (None if left_s is None else NOW_S + left_s)


def test_newer_slurm_tells_the_end_itself() -> None:
    assert read(SLURM, jobs.SLURM, SLURM_JOB_END_TIME="1700000000").end_s == 1_700_000_000


def test_a_requeued_job_of_slurm_knows_it() -> None:
    allocation = read(SLURM, jobs.SLURM, SLURM_RESTART_COUNT="1")
    assert allocation.restarts == 1
    assert tell_restart(allocation) == "the batch system runs job 7 again (restart 1), but "
    assert tell_restart(read(SLURM, jobs.SLURM)) == tell_restart(None) == ""


def test_pbs_pro() -> None:
    files = {"PBS_NODEFILE": jobs.PBS_PRO_NODES}
    assert read(PBS, jobs.PBS_PRO, files, jobs.PBS_PRO_STATUS) == Allocation(
        system="pbs",
        job="1001.head",
        nodes=(NodeShare("node1", 2, 1, 2048), NodeShare("node2", 2, 1, 2048)),
        end_s=PBS_STARTED_S + 600,
        submit_host="head",
        restarts=1,
    )


def test_pbs_pro_that_does_not_answer_leaves_the_node_file() -> None:
    for lines in ("node1\nnode2\n", jobs.PBS_PRO_NODES):  # one process in each chunk, and one on each core
        allocation = read(PBS, jobs.PBS_PRO, {"PBS_NODEFILE": lines})
        assert (allocation.nodes, allocation.end_s) == ((NodeShare("node1", 2), NodeShare("node2", 2)), None)


def test_torque() -> None:
    files = {"PBS_NODEFILE": jobs.TORQUE_NODES, "PBS_GPUFILE": jobs.TORQUE_GPUS}
    assert read(PBS, jobs.TORQUE, files, jobs.TORQUE_STATUS) == Allocation(
        system="pbs",
        job="31.torque.example.org",
        nodes=(NodeShare("n07", 2, 1), NodeShare("n08", 2, 1)),
        end_s=NOW_S + 540,
        submit_host="login.example.org",
    )


def test_torque_that_does_not_answer_leaves_the_environment() -> None:
    allocation = read(PBS, jobs.TORQUE, {"PBS_NODEFILE": jobs.TORQUE_NODES})
    assert allocation.nodes == (NodeShare("n07", 2), NodeShare("n08", 2))
    assert allocation.end_s == STARTED_S + 600


def test_sge() -> None:
    assert read(SGE, jobs.SGE, {"PE_HOSTFILE": jobs.SGE_HOSTS}, jobs.SGE_STATUS) == Allocation(
        system="sge",
        job="3",
        nodes=(NodeShare("node1", 3, ("0", "2")), NodeShare("node2", 2)),
        end_s=STARTED_S + 300,
        submit_host="head",
        restarts=1,
    )


def test_a_job_of_sge_without_parallel_environment_has_one_core_of_one_host() -> None:
    serial = read(SGE, jobs.SGE, NSLOTS="1", SGE_TASK_ID="4")
    assert (serial.job, serial.nodes) == ("3.4", (NodeShare("node1", 1, ("0", "2")),))


def test_lsf() -> None:
    assert read(LSF, jobs.LSF, status=jobs.LSF_LEFT) == Allocation(
        system="lsf",
        job="901545",
        nodes=(NodeShare("hostA", 4, ("3",)), NodeShare("hostB", 2)),
        end_s=NOW_S + 5400,
        submit_host="login2",
        restarts=1,
    )


@pytest.mark.parametrize("status", ["-", "", "0:10 E", "Job <1> is not found"])
def test_lsf_without_a_limit_has_no_end(status: str) -> None:
    assert read(LSF, jobs.LSF, status=status).end_s is None


def test_lsf_lists_hosts_in_a_file_where_the_environment_is_too_short() -> None:
    allocation = read(LSF, jobs.LSF, {"LSB_DJOB_HOSTFILE": "a\na\nb\n"}, LSB_MCPU_HOSTS="")
    assert [(share.name, share.cores) for share in allocation.nodes] == [("a", 2), ("b", 1)]


def test_condor() -> None:
    files = {"_CONDOR_MACHINE_AD": jobs.CONDOR_MACHINE, "_CONDOR_JOB_AD": jobs.CONDOR_JOB}
    assert read(CONDOR, jobs.CONDOR, files) == Allocation(
        system="condor",
        job="12.0",
        nodes=(NodeShare("exec7.example.org", 4, ("0", "GPU-c4a646d7"), 4096),),
        end_s=STARTED_S + 3600,
        submit_host="submit.example.org",
        restarts=1,
    )


def test_loadl() -> None:
    assert read(LOADL, jobs.LOADL, status=jobs.LOADL_STATUS) == Allocation(
        system="loadl",
        job="loadl01.example.org.123.0",
        nodes=(NodeShare("i01r01", 2), NodeShare("i01r02", 1)),
        end_s=STARTED_S + 1800,
        submit_host="loadl01.example.org",
    )


def test_cobalt() -> None:
    nodes = tuple(NodeShare(name) for name in ("nid00000", "nid00001", "nid00002", "nid00007"))
    assert read(COBALT, jobs.COBALT) == Allocation("cobalt", "104711", nodes, end_s=1_485_143_045)


def test_cobalt_tells_what_is_left_and_lists_nodes_in_a_file() -> None:
    found = read(COBALT, {"COBALT_JOBID": "5"}, {"COBALT_NODEFILE": "n1\nn2\n"}, jobs.COBALT_STATUS)
    assert (found.nodes, found.end_s) == ((NodeShare("n1"), NodeShare("n2")), NOW_S + 1200)


@pytest.mark.parametrize(
    ("system", "environment", "changes"),
    [
        (SLURM, jobs.SLURM, {"SLURM_JOB_NODELIST": "node[1-"}),
        (SLURM, jobs.SLURM, {"SLURM_JOB_CPUS_PER_NODE": "4,4,4"}),
        (SLURM, jobs.SLURM, {"SLURM_RESTART_COUNT": "once"}),
        (SGE, jobs.SGE, {"RESTARTED": "maybe"}),
        (LSF, jobs.LSF, {"LSB_MCPU_HOSTS": "hostA four"}),
        (COBALT, jobs.COBALT, {"COBALT_PARTNAME": "0-x"}),
    ],
)
def test_nonsense_is_a_value_error(
    system: BatchSystem, environment: Mapping[str, str], changes: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(system, {**environment, **changes})
