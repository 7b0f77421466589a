"""How a batch system starts a command on the other nodes of a job. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

_OF_SYSTEMS = {
    "slurm": ("srun",),
    "pbs": ("pbs_tmrsh", "pbsdsh"),  # PBS Pro has both, and its pbsdsh knows no hosts
    "sge": ("qrsh",),
    "lsf": ("blaunch",),
    "cobalt": ("aprun",),
}
_ANYWHERE = "ssh"


class NodeCommand(NamedTuple):
    """One process to be started here, and the nodes that it starts the command on."""

    argv: list[str]
    nodes: tuple[str, ...]


def launcher_of(system: str, is_here: Callable[[str], bool]) -> str:
    """Return what starts commands on the nodes of a job: what its batch system has for that, else ``ssh``.

    Args:
        system: As in an :class:`~pilot_agent.lrms.allocation.Allocation`.
        is_here: Tells whether a program can be called.
    """
    return next((program for program in _OF_SYSTEMS.get(system, ()) if is_here(program)), _ANYWHERE)


def node_commands(launcher: str, nodes: Sequence[str], words: Sequence[str]) -> list[NodeCommand]:
    """Return what starts a command on each of ``nodes``.

    Args:
        launcher: One of :data:`LAUNCHERS`.
        nodes: Names of the nodes, at least one.
        words: The command line; ``--name NODE`` is added where each node has a command of its own.
    """
    if launcher in _TOGETHER:
        return [NodeCommand([*_TOGETHER[launcher](nodes), *words], tuple(nodes))]
    alone = _ALONE[launcher]
    return [NodeCommand(alone(node, [*words, "--name", node]), (node,)) for node in nodes]


def _srun(nodes: Sequence[str]) -> list[str]:
    count = str(len(nodes))
    return [
        "srun",
        *("--nodes", count, "--ntasks", count, "--ntasks-per-node", "1", "--nodelist", ",".join(nodes)),
        # All that the job has on each node, beside whatever steps units start there.
        *("--overlap", "--mem=0", "--cpu-bind=none", "--mpi=none"),
        # A node that is lost is that node's matter.
        *("--no-kill", "--kill-on-bad-exit=0", "--wait=0", "--input=none"),
    ]


def _aprun(nodes: Sequence[str]) -> list[str]:
    return ["aprun", "-n", str(len(nodes)), "-N", "1", "-cc", "none", "-b", "-L", ",".join(nodes)]


def _ssh(node: str, words: Sequence[str]) -> list[str]:
    options = ("BatchMode=yes", "ConnectTimeout=15", "ControlMaster=no", "ControlPath=none", "LogLevel=ERROR")
    chosen = [word for option in options for word in ("-o", option)]
    return ["ssh", "-n", "-T", "-x", "-a", *chosen, node, f"exec {shlex.join(words)}"]


_TOGETHER: dict[str, Callable[[Sequence[str]], list[str]]] = {"srun": _srun, "aprun": _aprun}
_ALONE: dict[str, Callable[[str, Sequence[str]], list[str]]] = {
    "ssh": _ssh,
    "qrsh": lambda node, words: ["qrsh", "-inherit", "-nostdin", node, shlex.join(words)],
    "pbsdsh": lambda node, words: ["pbsdsh", "-h", node, *words],
    "pbs_tmrsh": lambda node, words: ["pbs_tmrsh", node, shlex.join(words)],
    "blaunch": lambda node, words: ["blaunch", "-n", "-no-shell", node, *words],
}

LAUNCHERS = (*_TOGETHER, *_ALONE)
"""What can be named in the pilot's ``agent_options``."""
