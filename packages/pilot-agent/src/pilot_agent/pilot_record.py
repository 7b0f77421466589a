"""What the pilot's record in Redis says about its agent, and what of it changes when a node is lost. Pure but for the pid."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pilot_protocol.version import PROTOCOL

from . import __version__
from .config import AgentConfig
from .resources import Resources
from .scheduler.slots import Capacity


def record_of(config: AgentConfig, resources: Resources) -> dict[str, str]:
    """Return what does not change."""
    allocation = resources.allocation
    record = {
        "label": config.label,
        "lrms": "local" if allocation is None else allocation.system,
        "protocol": PROTOCOL,
        "version": __version__,
        "pid": str(os.getpid()),
    }
    return record if allocation is None else {**record, "job": allocation.job}


def sizes_of(capacity: Capacity, nodes: Sequence[str]) -> dict[str, str]:
    """Return what a pilot has on nodes of these names; no memory where it is not limited."""
    return {
        "cores": str(capacity.cores),
        "node_cores": str(capacity.node_cores),
        "gpus": str(capacity.gpus),
        "memory_mb": str(capacity.memory_mb or ""),
        "nodes": ",".join(nodes),
    }
