"""What differs between the batch systems that are stood in for: signals, the environment of a job, files it leaves.

LSF, HTCondor, LoadLeveler and Cobalt were never run here: their part follows their manuals and what radical.saga reads.
"""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM, SIGUSR2, SIGXCPU

from .cluster import ENDED, Cluster, Record


@dataclass(frozen=True)
class System:
    """A batch system.

    Attributes:
        module: The module with its commands.
        commands: That users have.
        cancel_signals: To every process of a job, with a grace after each.
        walltime_signals: The same when it has run too long.
        variables: That a job finds, beyond those of a login.
        tell: Told when a job has begun and when it has ended.
    """

    module: str
    commands: Sequence[str]
    cancel_signals: Sequence[int]
    walltime_signals: Sequence[int]
    variables: Callable[[Cluster, Record], dict[str, str]]
    tell: Callable[[Cluster, Record], None] = lambda _cluster, _record: None

    def environment(self, cluster: Cluster, record: Record) -> dict[str, str]:
        """Return the variables of a job."""
        user = pwd.getpwuid(os.getuid())
        login = {
            "HOME": user.pw_dir,
            "USER": user.pw_name,
            "LOGNAME": user.pw_name,
            "SHELL": user.pw_shell,
            "PATH": f"{cluster.folder / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        }
        return login | self.variables(cluster, record)


def host_file(cluster: Cluster, record: Record, lines: int) -> str:
    """Write the file that names the host once for each core; return its path."""
    return _file_of_lines(cluster, record, [cluster.settings.host] * lines)


def _file_of_lines(cluster: Cluster, record: Record, lines: Sequence[str]) -> str:
    path = cluster.folder / "jobs" / f"{record.number}.hosts"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def _pbs(cluster: Cluster, record: Record) -> dict[str, str]:
    chunks = int(record.extra.get("chunks", "1"))
    return {
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": f"{record.number}.{cluster.settings.host}",
        "PBS_JOBNAME": record.name,
        "PBS_NODEFILE": host_file(cluster, record, int(record.extra.get("lines", "1"))),
        "PBS_O_HOST": cluster.settings.host,
        "PBS_O_WORKDIR": record.extra["workdir"],
        "PBS_QUEUE": record.queue,
        "NCPUS": str(record.cores // chunks),
        "OMP_NUM_THREADS": str(record.cores // chunks),
    }


def _torque(cluster: Cluster, record: Record) -> dict[str, str]:
    return {
        "PBS_ENVIRONMENT": "PBS_BATCH",
        "PBS_JOBID": f"{record.number}.{cluster.settings.host}",
        "PBS_JOBNAME": record.name,
        "PBS_NODEFILE": host_file(cluster, record, record.cores),
        "PBS_NP": str(record.cores),
        "PBS_NUM_NODES": "1",
        "PBS_NUM_PPN": str(record.cores),
        "PBS_O_HOST": cluster.settings.host,
        "PBS_O_WORKDIR": record.extra["workdir"],
        "PBS_QUEUE": record.queue,
        "PBS_WALLTIME": str(int(60 * record.walltime_min)),
    }


def _lsf(cluster: Cluster, record: Record) -> dict[str, str]:
    host = cluster.settings.host
    return {
        "LSB_JOBID": str(record.number),
        "LSB_JOBINDEX": "0",
        "LSB_JOBNAME": record.name,
        "LSB_QUEUE": record.queue,
        "LSB_HOSTS": " ".join([host] * record.cores),
        "LSB_MCPU_HOSTS": f"{host} {record.cores}",
        "LSB_DJOB_NUMPROC": str(record.cores),
        "LSB_DJOB_HOSTFILE": host_file(cluster, record, record.cores),
        "LSB_RESTART": "N",
        "LSB_SUB_HOST": host,
        "LS_SUBCWD": record.folder,
    }


def _condor(cluster: Cluster, record: Record) -> dict[str, str]:
    scratch = cluster.folder / "jobs" / f"{record.number}.scratch"
    scratch.mkdir(exist_ok=True)
    host = cluster.settings.host
    known = f'ClusterId = {record.number}\nGlobalJobId = "{host}#{record.number}.0#{record.submitted:.0f}"\n'
    (scratch / ".job.ad").write_text(f"{known}NumJobStarts = 0\nProcId = 0\nRequestCpus = {record.cores}\n")
    (scratch / ".machine.ad").write_text(
        f'Cpus = {record.cores}\nMachine = "{host}"\nName = "slot1_1@{host}"\n'
    )
    return {
        "_CONDOR_JOB_AD": str(scratch / ".job.ad"),
        "_CONDOR_MACHINE_AD": str(scratch / ".machine.ad"),
        "_CONDOR_SCRATCH_DIR": str(scratch),
        "_CONDOR_SLOT": "slot1_1",
        "_CONDOR_JOB_IWD": record.folder,
    }


def _loadl(cluster: Cluster, record: Record) -> dict[str, str]:
    name = f"{cluster.settings.host}.{record.number}"
    return {
        "LOADL_ACTIVE": "5.1.0.0",
        "LOADL_JOB_NAME": name,
        "LOADL_STEP_ID": f"{name}.0",
        "LOADL_STEP_CLASS": record.queue,
        "LOADL_STEP_INITDIR": record.folder,
        "LOADL_HOSTFILE": host_file(cluster, record, record.cores),
        "LOADL_PROCESSOR_LIST": " ".join([cluster.settings.host] * record.cores),
        "LOADL_TOTAL_TASKS": str(record.cores),
    }


def _cobalt(cluster: Cluster, record: Record) -> dict[str, str]:
    nodes = [f"{cluster.settings.host}-{node}" for node in range(record.cores)]
    return {
        "COBALT_JOBID": str(record.number),
        "COBALT_JOBSIZE": str(record.cores),
        "COBALT_NODEFILE": _file_of_lines(cluster, record, nodes),
        "COBALT_PARTNAME": cluster.settings.host,
    }


def _user_log(_cluster: Cluster, record: Record) -> None:
    """Write HTCondor's log of a job."""
    log = record.extra.get("log", "")
    if not log:
        return
    moment = time.strftime("%m/%d %H:%M:%S")
    head = f"({record.number:03}.000.000) {moment}"
    if record.state != ENDED:
        event = f"001 {head} Job executing on host: <127.0.0.1:9618>"
    elif record.reason:
        event = f"009 {head} Job was aborted by the user."
    else:
        how = f"(1) Normal termination (return value {record.code})"
        how = how if record.signal is None else f"(0) Abnormal termination (signal {record.signal})"
        event = f"005 {head} Job terminated.\n\t{how}"
    with Path(log).open("a") as file:
        file.write(f"{event}\n...\n")


def _cobalt_log(_cluster: Cluster, record: Record) -> None:
    """Write Cobalt's log of a job, from which its end is read."""
    if record.state != ENDED:
        return
    code = record.code if record.signal is None else 128 + record.signal
    moment = time.strftime("%a %b %d %H:%M:%S %Y +0000 (UTC)", time.gmtime())
    line = f"{moment} Info: task completed normally with an exit code of {code}; initiating job cleanup and removal\n"
    with Path(record.folder, f"{record.number}.cobaltlog").open("a") as file:
        file.write(line)


PBS_COMMANDS = ("qsub", "qstat", "qdel", "pbsnodes")

SYSTEMS = {
    "pbspro": System("pbs", PBS_COMMANDS, (SIGTERM, SIGKILL), (SIGTERM, SIGKILL), _pbs),
    "torque": System("pbs", PBS_COMMANDS, (SIGTERM, SIGKILL), (SIGTERM, SIGKILL), _torque),
    "lsf": System(
        "lsf",
        ("bsub", "bjobs", "bkill", "bqueues"),
        (SIGINT, SIGTERM, SIGKILL),
        (SIGUSR2, SIGINT, SIGTERM, SIGKILL),
        _lsf,
    ),
    "condor": System(
        "condor",
        ("condor_submit", "condor_q", "condor_history", "condor_rm", "condor_version"),
        (SIGTERM, SIGKILL),
        (SIGTERM, SIGKILL),
        _condor,
        _user_log,
    ),
    "loadl": System("loadl", ("llsubmit", "llq", "llcancel"), (SIGTERM, SIGKILL), (SIGXCPU, SIGKILL), _loadl),
    "cobalt": System(
        "cobalt",
        ("qsub", "qstat", "qdel", "nodelist", "partlist"),
        (SIGTERM, SIGKILL),
        (SIGTERM, SIGKILL),
        _cobalt,
        _cobalt_log,
    ),
}
