"""What the pilot's record in Redis says about its agent, and what of it changes when a node is lost. Pure but for the pid."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pilot_protocol.version import PROTOCOL

from . import __version__
from .config import AgentConfig
from .lrms.local import LocalNode
from .resources import Resources


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


def sizes_of(nodes: Sequence[LocalNode]) -> dict[str, str]:
    """Return what a pilot has on its nodes; memory is told where all of them are limited."""
    memory_mb = [node.memory_mb for node in nodes]
    return {
        "cores": str(sum(node.cores for node in nodes)),
        "node_cores": str(max(node.cores for node in nodes)),
        "gpus": str(sum(len(node.gpus) for node in nodes)),
        "memory_mb": str(sum(filter(None, memory_mb))) if all(memory_mb) else "",
        "nodes": ",".join(node.name for node in nodes),
    }
