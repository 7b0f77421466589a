"""What an executor process finds around it: descriptors, an environment, a log."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress

_HIDDEN_PREFIX = "PILOT_"
_STALE_NAMES = ("PWD", "OLDPWD")


def unit_base_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what units inherit of an executor's own environment."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_HIDDEN_PREFIX) and name not in _STALE_NAMES
    }


_OF_THE_NODE = re.compile(
    r"HOST|HOSTNAME|TMPDIR|DISPLAY|(CUDA|ROCR|HIP)_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL|(SSH|XDG)_.*"
    r"|SLURM(D_NODENAME|_NODEID|_PROCID|_LOCALID|_TASK_PID|_GTIDS|_TOPOLOGY_ADDR|_CPUS_ON_NODE|_GPUS_ON_NODE)"
    r"|PBS_(NODENUM|TASKNUM|VNODENUM)"
)
"""Variables that say something of one node, or of one login there."""
_OF_THE_LAUNCH = re.compile(r"(SLURM|PMI|PMIX|ALPS|PALS)_.*")
"""Variables that say how the executor itself was started."""


def unit_environment_of_node(own: Mapping[str, str], heads: Mapping[str, str]) -> dict[str, str]:
    """Return what units inherit on a node that is not the head's: as on the head's, where it is not about the node.

    Args:
        own: Environment of the executor, which may be that of a bare login.
        heads: What units inherit on the head's node.
    """
    mine = {
        name: value
        for name, value in unit_base_environment(own).items()
        if _OF_THE_NODE.fullmatch(name) or not _OF_THE_LAUNCH.fullmatch(name)
    }
    return {**mine, **{name: value for name, value in heads.items() if not _OF_THE_NODE.fullmatch(name)}}


def arrange_descriptors() -> None:
    """Keep what this process inherited, the lifeline among it, from units, and 0, 1 and 2 free for their streams."""
    while os.open("/dev/null", os.O_RDWR) <= 2:
        continue
    for name in os.listdir("/proc/self/fd"):
        # The folder that was listed is closed again.
        with suppress(OSError):
            os.set_inheritable(int(name), int(name) <= 2)


def say(message: str) -> None:
    """Write to the log, which is standard error; when that is gone, nobody is left to tell."""
    with suppress(OSError):
        os.write(2, f"{message}\n".encode(errors="backslashreplace"))
