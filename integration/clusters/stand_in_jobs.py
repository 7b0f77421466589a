"""Jobs for stand-ins, submitted in the way of each batch system."""

from __future__ import annotations

import subprocess
from pathlib import Path

import fake_batch

Cluster = fake_batch.FakeBatch

SUBMIT = {
    "torque": ("qsub job", "#PBS -N {name}\n#PBS -l nodes=1:ppn={cores}\n#PBS -j oe\n#PBS -o {out}"),
    "pbspro": ("qsub job", "#PBS -N {name}\n#PBS -l select={cores}:ncpus=1\n#PBS -j oe\n#PBS -o {out}"),
    "lsf": ("bsub <job", "#BSUB -J {name}\n#BSUB -n {cores}\n#BSUB -o {out}"),
    "loadl": ("llsubmit job", "#@ job_name = {name}\n#@ total_tasks = {cores}\n#@ output = {out}\n#@ queue"),
    "cobalt": ("qsub --mode script job", "#COBALT --jobname {name}\n#COBALT --nodecount {cores}\n#COBALT --output {out}"),
    "condor": ("sed -n 's/^#C //p' job | condor_submit",
               "#C executable = job\n#C request_cpus = {cores}\n#C output = {out}\n#C queue"),
}  # fmt: skip


def say(cluster: Cluster, command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line with the commands of the cluster, and nothing of our environment."""
    environment = {"PATH": f"{cluster.path}:/usr/bin:/bin", "HOME": str(folder), "SECRET": "kept"}
    return subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def submit(cluster: Cluster, system: str, folder: Path, body: str, cores: int = 1) -> None:
    """Submit a job in the way of the batch system, from a folder of its own: not every one keeps a copy of the script."""
    folder.mkdir(exist_ok=True)
    command, head = SUBMIT[system]
    text = head.format(name="n", cores=cores, out=folder / "out")
    (folder / "job").write_text(f"#!/bin/sh\n{text}\n{body}\n")
    (folder / "job").chmod(0o755)
    done = say(cluster, command, folder)
    assert done.returncode == 0, done.stderr
