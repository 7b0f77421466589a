"""A Slurm cluster on this machine: a controller and nodes of their own host names and process ids.

Its configuration, munge daemon, ports and state are its own: neither /etc/slurm nor a munge of the machine is used, and
several clusters can run side by side. Its commands find it by ``SLURM_CONF``. Network and file system are shared by the
nodes, as on a cluster with a shared file system. Needs root and Debian's ``slurmctld slurmd slurm-client munge``.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemons import Daemons, need_commands, run, wait_until
from ports import free_port

COMMANDS = ("slurmctld", "slurmd", "sbatch", "squeue", "munged", "unshare")

NODE = """
set -e
mount --make-rprivate /
hostname "$1"
mount -t proc proc /proc
mount --bind "$2" /etc/hosts
trap 'exit 0' TERM
/usr/sbin/slurmd -D -N "$1" &
while :; do wait || true; done
"""
"""Init of a node; it reaps what is orphaned to it. When it is killed, all processes of the node are."""


@dataclass(frozen=True)
class Shape:
    """How large a cluster is, and how quick.

    Attributes:
        nodes: How many.
        cpus: Of each node; may exceed what the machine has.
        gpus: Of each node; false ones.
        memory_mb: Of each node.
        kill_wait_s: Between SIGTERM and SIGKILL.
        min_job_age_s: How long the controller remembers what has ended.
    """

    nodes: int = 2
    cpus: int = 4
    gpus: int = 2
    memory_mb: int = 2000
    kill_wait_s: int = 5
    min_job_age_s: int = 300


class SlurmCluster:
    """A running cluster. Partitions: ``debug``, the default one, up to 2 h; ``short``, up to 5 min.

    Args:
        folder: Its configuration, logs and state.
        daemons: What runs for it.
    """

    url = "slurm://localhost/"

    def __init__(self, folder: Path, daemons: Daemons) -> None:
        self._folder = folder
        self._daemons = daemons

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables by which commands find the cluster."""
        return {"SLURM_CONF": str(self._folder / "slurm.conf")}

    def command(self, *words: str) -> str:
        """Run one of Slurm's commands and return what it prints."""
        done = run(words, self.environment)
        assert done.returncode == 0, f"{words}: {done.stderr}\n{self._daemons.logs()}"
        return done.stdout

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let the controller answer nobody for the length of a block."""
        self._daemons.send("slurmctld", signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemons.send("slurmctld", signal.SIGCONT)

    @contextmanager
    def silent(self) -> Iterator[None]:
        """End the controller for the length of a block; jobs run on."""
        self._daemons.end("slurmctld")
        try:
            yield
        finally:
            self.start_controller()

    def start_controller(self) -> None:
        """Start the controller, and wait until it answers."""
        self._daemons.start("slurmctld", ["/usr/sbin/slurmctld", "-D"])
        wait_until(lambda: "UP" in run(["scontrol", "ping"], self.environment).stdout, "slurmctld", self.logs)

    def logs(self) -> str:
        """Return the end of each log."""
        return self._daemons.logs()

    def idle_nodes(self) -> int:
        """Return how many nodes wait for work."""
        listed = run(["sinfo", "-h", "-N", "-p", "debug", "-t", "idle", "-o", "%N"], self.environment).stdout
        return len(set(listed.split()))


@contextmanager
def running_slurm(shape: Shape = Shape()) -> Iterator[SlurmCluster]:
    """Run a cluster for the length of a block; skip the test where Slurm is not installed."""
    need_commands("Slurm", COMMANDS)
    if run(["unshare", "--uts", "--ipc", "--pid", "--mount", "--fork", "true"], {}).returncode != 0:
        pytest.skip("no server: this machine allows no namespaces, and so no nodes of a Slurm cluster")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    folder.chmod(0o755)  # other accounts use it as well
    daemons = Daemons(folder, {"SLURM_CONF": str(folder / "slurm.conf")})
    cluster = SlurmCluster(folder, daemons)
    try:
        _start(cluster, folder, daemons, shape)
        yield cluster
        _end_jobs(cluster)
    finally:
        daemons.end_all()
        shutil.rmtree(folder)


def _start(cluster: SlurmCluster, folder: Path, daemons: Daemons, shape: Shape) -> None:
    _write_configuration(folder, shape)
    _start_munge(folder, daemons)
    cluster.start_controller()
    isolate = ["unshare", "--uts", "--ipc", "--pid", "--mount", "--fork", "--kill-child"]
    for name in _names(shape):
        (folder / "spool" / name).mkdir(parents=True)
        init: list[str | Path] = ["/bin/bash", "-c", NODE, "node", name, folder / "hosts"]
        daemons.start(name, [*isolate, *init], end_with=signal.SIGKILL)
    wait_until(lambda: cluster.idle_nodes() == shape.nodes, f"{shape.nodes} idle nodes", cluster.logs)


def _start_munge(folder: Path, daemons: Daemons) -> None:
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    files = {"key-file": key, "socket": _munge_socket(folder), "pid-file": folder / "munge.pid"}
    files |= {"log-file": folder / "munged.out", "seed-file": folder / "munge.seed"}
    options = [f"--{option}={path}" for option, path in files.items()]
    daemons.start("munged", ["/usr/sbin/munged", "--foreground", "--force", *options])
    wait_until(_munge_socket(folder).exists, "munged", daemons.logs)


def _munge_socket(folder: Path) -> Path:
    return folder / "munge.socket"


def _names(shape: Shape) -> list[str]:
    return [f"node{number}" for number in range(1, shape.nodes + 1)]


def _addresses(shape: Shape) -> dict[str, str]:
    return {name: f"127.0.0.{number}" for number, name in enumerate(_names(shape), 11)}


def _write_configuration(folder: Path, shape: Shape) -> None:
    for name in ("state", "spool", "devices"):
        (folder / name).mkdir()
    devices = [folder / "devices" / f"gpu{number}" for number in range(shape.gpus)]
    for device in devices:  # Slurm wants a device; a second /dev/null stands for a GPU
        os.mknod(device, 0o020666, os.makedev(1, 3))
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in devices))
    # Slurm 22.05 looks for a mounted cgroup tree, and ends where there is none, unless told which one to use.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    hosts = "".join(f"{address} {name}\n" for name, address in _addresses(shape).items())
    (folder / "hosts").write_text(Path("/etc/hosts").read_text() + "\n" + hosts)
    nodes = "".join(
        f"NodeName={name} NodeHostname={name} NodeAddr={address} Port={free_port()} CPUs={shape.cpus} "
        f"RealMemory={shape.memory_mb} Gres=gpu:{shape.gpus}\n"
        for name, address in _addresses(shape).items()
    )
    (folder / "slurm.conf").write_text(_settings(folder, shape) + nodes + _partitions(shape))


def _settings(folder: Path, shape: Shape) -> str:
    return f"""
ClusterName=tests
SlurmctldHost={socket.gethostname().split(".")[0]}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={_munge_socket(folder)}
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,bf_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=30
MessageTimeout=5
InactiveLimit=0
KillWait={shape.kill_wait_s}
MinJobAge={shape.min_job_age_s}
PropagateResourceLimitsExcept=ALL
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdSpoolDir={folder}/spool/%n
StateSaveLocation={folder}/state
"""


def _partitions(shape: Shape) -> str:
    nodes = ",".join(_names(shape))
    return (
        f"PartitionName=debug Nodes={nodes} Default=YES MaxTime=2:00:00 DefaultTime=10 State=UP\n"
        f"PartitionName=short Nodes={nodes} MaxTime=5 DefaultTime=1 State=UP\n"
    )


def _end_jobs(cluster: SlurmCluster) -> None:
    cluster.command("scancel", "--user=root", "--state=PENDING")
    cluster.command("scancel", "--user=root", "--signal=KILL", "--full")
    wait_until(lambda: not cluster.command("squeue", "-h"), "the end of all jobs", cluster.logs)
