"""Which GPUs a job may use, from the variables that tell its programs so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

VISIBLE = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL")
"""Where the drivers of NVIDIA and AMD look. Where a job sees its own devices only, they count from 0 again there, so that
these are what units must be told, not what the batch system calls the devices."""

_NONE = frozenset({"", "NoDevFiles", "none", "-1", "void"})


def gpus_of(environment: Mapping[str, str], more: Iterable[str] = ()) -> tuple[str, ...] | None:
    """Return the GPUs of this node, None when nothing tells.

    Args:
        environment: The job's.
        more: Variables of its batch system, asked when the drivers' are not set.
    """
    for name in (*VISIBLE, *more):
        if name in environment:
            return split(environment[name])
    return None


def split(text: str) -> tuple[str, ...]:
    """Return the names in a list like ``0,1``, ``GPU-5c1e,GPU-77aa`` or ``gpu:a100:0,1``."""
    names = re.split(r"[,\s]+", text.strip().rpartition(":")[2])
    return tuple(name for name in names if name not in _NONE)
