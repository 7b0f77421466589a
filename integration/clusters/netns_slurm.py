"""Slurm on the emulated hosts: its configuration, and a MUNGE of its own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from netns_host import NetnsHost

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "sinfo")
CPUS = 2
MEMORY_MB = 1000


def write_settings(state: Path, head_address: str, nodes: Mapping[str, str]) -> None:
    """Write what Slurm and MUNGE need into a cluster's folder.

    Args:
        state: The folder.
        head_address: Of the controller's host.
        nodes: Addresses of the nodes by their names.
    """
    for folder in ("munge", "spool", "save", "log"):
        (state / folder).mkdir(exist_ok=True)
    key = state / "munge" / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    lines = [f"{name}={value}" for name, value in _settings(state, head_address).items()]
    lines += [
        f"NodeName={name} NodeAddr={address} CPUs={CPUS} RealMemory={MEMORY_MB}"
        for name, address in nodes.items()
    ]
    everywhere = ",".join(nodes)
    lines.append(f"PartitionName=debug Nodes={everywhere} Default=YES MaxTime=120 DefaultTime=10 State=UP")
    lines.append(f"PartitionName=short Nodes={everywhere} MaxTime=5 DefaultTime=1 State=UP")
    (state / "slurm" / "slurm.conf").write_text("\n".join(lines) + "\n")
    # slurmd looks for a mounted cgroup tree to choose a plugin, and ends where there is none, unless told.
    (state / "slurm" / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def start(state: Path, head: NetnsHost, nodes: Sequence[NetnsHost]) -> None:
    """Start MUNGE, which all hosts reach over the shared file system, and Slurm."""
    folder = state / "munge"
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    head.start("munged", "--foreground", *(f"--{option}={folder}/{file}" for option, file in files.items()))
    head.start("slurmctld", "-D")
    for node in nodes:
        (state / "spool" / node.name).mkdir()
        node.start("slurmd", "-D", "-N", node.name)


def is_ready(head: NetnsHost, nodes: Sequence[NetnsHost]) -> bool:
    """Return whether all nodes wait for jobs."""
    try:
        idle = head.run("sinfo", "-h", "-N", "-p", "debug", "-t", "idle", "-o", "%N")
    except AssertionError:  # the controller does not answer yet
        return False
    return set(idle.split()) == {node.name for node in nodes}


def _settings(state: Path, head_address: str) -> dict[str, str | int]:
    return {
        "ClusterName": "pilot",
        "SlurmctldHost": f"head({head_address})",
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={state}/munge/socket",
        "CredType": "cred/munge",
        "MpiDefault": "none",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SwitchType": "switch/none",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "SchedulerParameters": "batch_sched_delay=0,sched_min_interval=0,bf_interval=2",
        "SlurmdParameters": "config_overrides",  # nodes have the cores that are written here
        "ReturnToService": 2,
        "SlurmctldTimeout": 30,
        "SlurmdTimeout": 30,
        "InactiveLimit": 0,
        "KillWait": 5,
        "PropagateResourceLimitsExcept": "ALL",
        "SlurmctldPidFile": "/run/slurmctld.pid",
        "SlurmdPidFile": "/run/slurmd.pid",
        "SlurmdSpoolDir": f"{state}/spool/%n",
        "StateSaveLocation": f"{state}/save",
        "SlurmctldLogFile": f"{state}/log/slurmctld.log",
        "SlurmdLogFile": f"{state}/log/slurmd.%n.log",
    }
