"""MPI units over several emulated hosts: by ssh, and in a job of Slurm, by MPI's own launchers and by srun."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from executor_driver import PATIENCE_S, Head
from mpi_programs import OF_SYSTEM, Mpi, find_mpi
from netns_cluster import NetnsCluster, running_cluster
from netns_host import NetnsHost
from node_bench import processes
from pilot_agent.import_root import import_root
from pilot_agent.node.launcher import StartedExecutor

NODES = ("node1", "node2", "node3")
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from pilot_agent.node.executor import main; main()"
WAYS = (
    *(f"{family} by ssh" for family in OF_SYSTEM),
    *(f"{family} in slurm" for family in OF_SYSTEM),
    "openmpi by srun",
    "mpich by srun",
)
GONE_S = 15.0
"""How long executors of other hosts, for which nobody waits there, may take to end what they run."""
SRUN_TYPES = {"openmpi": "pmix", "mpich": "pmi2"}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Way:
    """How ranks come to the hosts.

    Args:
        cluster: The hosts.
        name: One of `WAYS`.
        folder: One that all hosts see.
        job: Id of a job of Slurm that has all nodes.
    """

    def __init__(self, cluster: NetnsCluster, name: str, folder: Path, job: str) -> None:
        family, _, self._by = name.partition(" ")
        found = find_mpi(family)
        if isinstance(found, str):
            pytest.skip(found)
        self.mpi: Mpi = found
        self.cluster = cluster
        self.folder = folder
        self.environment = {} if self._by == "by ssh" else slurm_environment(job)

    def order(self, *ranks: tuple[str, str], **keys: Any) -> dict[str, Any]:
        """Return what the order of an MPI unit says of its ranks: node and cores each."""
        by_srun = self._by == "by srun"
        mpi = {
            "ranks": [[node, cores, ""] for node, cores in ranks],
            "pinned": True,
            "launcher": "srun" if by_srun else self.mpi.family,
            "srun_type": SRUN_TYPES[self.mpi.family] if by_srun else "",
        }
        # UCX takes the hosts for one, as they have one kernel, and would talk through what they do not share: memory, `lo`.
        ucx = {"UCX_TLS": "tcp,self", "UCX_NET_DEVICES": "eth0"}
        # All emulated hosts share the cores of one machine: a rank that waits busily keeps the others from what it waits for.
        openmpi = {"OMPI_MCA_mpi_yield_when_idle": "1"}
        return {"mpi": mpi, **keys, "env": {**ucx, **openmpi, **keys.get("env", {})}}


def slurm_environment(job: str) -> dict[str, str]:
    """Return what a batch script finds, as far as launchers need it."""
    return {
        "SLURM_JOB_ID": job,
        "SLURM_JOBID": job,
        "SLURM_NNODES": str(len(NODES)),
        "SLURM_JOB_NUM_NODES": str(len(NODES)),
        "SLURM_JOB_NODELIST": ",".join(NODES),
        "SLURM_NODELIST": ",".join(NODES),
        "SLURM_TASKS_PER_NODE": f"1(x{len(NODES)})",
        "SLURM_JOB_CPUS_PER_NODE": f"2(x{len(NODES)})",
        "SLURM_PROCID": "0",
    }


def start_on(host: NetnsHost, number: int, environment: Mapping[str, str]) -> Callable[..., StartedExecutor]:
    """Return what starts the executor of a host."""

    def start(sandbox: str, _executor: int, journal: str) -> StartedExecutor:
        ours, theirs = socket.socketpair()
        options = {"fd": theirs.fileno(), "sandbox": sandbox, "executor": number, "journal": journal}
        python = [sys.executable, "-I", "-S", "-X", "utf8", "-c", _BOOT, import_root(), json.dumps(options)]
        variables = [f"{name}={value}" for name, value in environment.items()]
        with theirs:
            started = subprocess.Popen(
                [*host.inside, "env", *variables, *python],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        started.returncode = 0  # reaped by the driver
        return StartedExecutor(started.pid, ours)

    return start


@pytest.fixture(scope="module")
def cluster() -> Iterator[NetnsCluster]:
    with running_cluster(len(NODES)) as running:
        yield running


@pytest.fixture(scope="module")
def job(cluster: NetnsCluster) -> Iterator[str]:
    head = cluster.hosts["head"]
    runs = cluster.shared / "runs"
    os.mkfifo(runs)
    # One task on each node, with all its cores: what Slurm tells of slots is too little.
    size = ("-N", str(len(NODES)), "--cpus-per-task=2")
    said = head.run("sbatch", "--parsable", *size, "-o", "/dev/null", "--wrap", f"echo >{runs}; sleep 600")
    assert runs.read_text() == "\n"
    yield said.strip()
    head.run("scancel", said.strip())


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, cluster: NetnsCluster, job: str) -> Way:
    folder = cluster.shared / secrets.token_hex(4)
    folder.mkdir()
    return Way(cluster, request.param, folder, job)


@pytest.fixture
def heads(way: Way) -> Iterator[list[Head]]:
    """The head's sides of the executors of all nodes."""
    with ExitStack() as opened:
        yield [
            opened.enter_context(
                closing(Head(way.folder, start_on(way.cluster.hosts[node], number, way.environment)))
            )
            for number, node in enumerate(NODES)
        ]


def running(way: Way, words: str) -> list[str]:
    """Return on which nodes there are processes with these words in their command line."""
    return [
        node
        for node in NODES
        for command in processes(way.cluster.hosts[node]).values()
        if command.startswith(words)
    ]


def test_ranks_lie_on_their_nodes_and_cores(way: Way, heads: list[Head]) -> None:
    program = [str(way.mpi.build(way.folder))]
    ranks = [("node1", "1"), ("node1", "0"), ("node2", "0-1"), ("node3", "1"), ("node3", "0")]
    if way.mpi.family == "mpich":
        # After a message by TCP, its UCX closes a connection only with an answer from the other side, and MPI_Finalize of
        # MPICH 4.0 gives none once its own connections are closed: it waits for the other ranks by PMI alone.
        program.append("apart")
    end = heads[0].run("cu-1", program, **way.order(*ranks))
    said = sorted(end["out"].splitlines())
    expected = [
        f"{rank} {len(ranks)} {node} {cores.replace('-', ' ')}" for rank, (node, cores) in enumerate(ranks)
    ]
    assert (end["code"], said) == (0, expected), end


def test_the_environment_reaches_every_node_and_pre_exec_runs_once_on_each(
    way: Way, heads: list[Head]
) -> None:
    ranks = [(node, "0") for node in NODES for _ in range(2)]
    end = heads[0].run(
        "cu-1",
        ["/bin/sh", "-c", 'echo "rank $PILOT_RANK $NAME $FROM $(pwd)"'],
        pre=["echo pre", "export FROM=$(uname -n)"],
        **way.order(*ranks, expand=False, env={"NAME": "it's\t$PILOT_RANK"}),
    )
    assert sorted(end["out"].splitlines()) == [
        *["pre"] * len(NODES),
        *(f"rank {rank} it's\t{rank} {node} {way.folder}/cu-1" for rank, (node, _) in enumerate(ranks)),
    ], end


def test_a_rank_that_dies_on_another_node_ends_the_unit(way: Way, heads: list[Head]) -> None:
    script = '[ "$PILOT_RANK" = 2 ] && exit 3; exec sleep 601'
    order = way.order(*((node, "0") for node in NODES), expand=False)
    end = heads[0].run("cu-1", ["/bin/sh", "-c", script], **order)
    assert (end["code"], end["message"]) == (3, "rank 2: exit code 3"), end
    sweep(heads[1:], "cu-1")
    assert running(way, "sleep 601") == []


def sleeper(way: Way, node: str, words: str) -> int:
    """Return the process with these words on a node, which may still be a shell that becomes it."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        for pid, command in processes(way.cluster.hosts[node]).items():
            if command.startswith(words):
                return pid
        time.sleep(0.05)
    raise AssertionError(f"no {words} on {node}")


def sweep(heads: list[Head], unit: str) -> None:
    """End what is left of a unit on the nodes of these executors, and wait until they say so."""
    for head in heads:
        head.send("sweep", [[unit, 1, 9]])
    for head in heads:
        assert head.swept() == [unit]


def start_sleepers(way: Way, heads: list[Head], seconds: int) -> None:
    """Start a unit with a rank on each node and wait until all of them run."""
    fifos = [way.folder / f"ready.{rank}" for rank in range(len(NODES))]
    for fifo in fifos:
        os.mkfifo(fifo)
    script = f"echo >{way.folder}/ready.$PILOT_RANK; exec sleep {seconds}"
    order = way.order(*((node, "0") for node in NODES), expand=False)
    heads[0].start(heads[0].order("cu-1", ["/bin/sh", "-c", script], **order))
    for fifo in fifos:
        assert fifo.read_text() == "\n"


@pytest.mark.parametrize("signum", [15, 9])
def test_a_signal_reaches_the_ranks_of_all_nodes(way: Way, heads: list[Head], signum: int) -> None:
    start_sleepers(way, heads, 602)
    heads[0].send("signal", [["cu-1", signum]])
    for head in heads[1:]:
        head.send("sweep", [["cu-1", 1, signum]])
    assert heads[0].end("cu-1")["code"] != 0
    sweep(heads[1:], "cu-1") if signum == 15 else [head.swept() for head in heads[1:]]
    assert running(way, "sleep 602") == []


def test_no_rank_survives_the_executors(way: Way, heads: list[Head]) -> None:
    start_sleepers(way, heads, 603)
    for head in heads:
        head.close()
    deadline_s = time.monotonic() + GONE_S
    while (left := running(way, "sleep 603")) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert left == []


def test_a_rank_that_is_killed_ends_the_unit(way: Way, heads: list[Head]) -> None:
    start_sleepers(way, heads, 604)
    os.kill(sleeper(way, "node3", "sleep 604"), 9)
    assert heads[0].end("cu-1")["message"] == "rank 2: exit code 137, which means signal 9 (SIGKILL)"
    sweep(heads[1:], "cu-1")
    assert running(way, "sleep 604") == []
