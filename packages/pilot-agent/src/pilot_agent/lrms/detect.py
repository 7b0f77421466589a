"""Looks around: is this a batch job, and what has it? Reads the environment and the files it names, and runs one command.

What the batch system does not tell, or not in time, is left open; nothing of that keeps an agent from its work.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from .allocation import Allocation, BatchSystem, Findings
from .cobalt import COBALT
from .condor import CONDOR
from .loadl import LOADL
from .lsf import LSF
from .pbs import PBS
from .sge import SGE
from .slurm import SLURM

logger = logging.getLogger(__name__)

COMMAND_LIMIT_S = 10.0
"""How long a batch system may take to tell the end of the job."""

# Cobalt and Slurm's commands for users of PBS set variables of others, too, so the order counts.
_SYSTEMS = (SLURM, COBALT, PBS, LSF, LOADL, SGE, CONDOR)
_PLAIN = {"LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}


def find_allocation(started_s: float, environment: Mapping[str, str] = os.environ) -> Allocation | None:
    """Return the batch job that this process runs in, None when it runs in none.

    Args:
        started_s: When the agent started, in seconds since 1970.
        environment: Of this process.
    """
    for system in _SYSTEMS:
        if system.is_here(environment):
            return _read(system, environment, started_s)
    return None


def _read(system: BatchSystem, environment: Mapping[str, str], started_s: float) -> Allocation | None:
    status = _ask(system.command(environment), environment)
    files = {name: _content(environment[name]) for name in system.files if environment.get(name)}
    try:
        return system.read(Findings(environment, files, status, time.time(), started_s))
    except (ValueError, LookupError) as error:
        logger.error(
            "lrms.unreadable %r; only this machine's cores are known",
            error,
            extra={"action": "lrms.unreadable"},
        )
        return None


def _ask(command: Sequence[str], environment: Mapping[str, str]) -> str:
    if not command:
        return ""
    try:
        answer = subprocess.run(
            command,
            env={**environment, **_PLAIN},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_LIMIT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning(
            "lrms.silent the end of the job stays unknown: %s: %s",
            command[0],
            error,
            extra={"action": "lrms.silent"},
        )
        return ""
    return answer.stdout.decode(errors="replace")


def _content(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError as error:
        logger.warning("lrms.file %s: %s", path, error.strerror, extra={"action": "lrms.file"})
        return ""


def own_names(machine: str, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return what the batch system may call this node: Slurm has names of its own."""
    return tuple(name for name in (environment.get("SLURMD_NODENAME", ""), machine) if name)
