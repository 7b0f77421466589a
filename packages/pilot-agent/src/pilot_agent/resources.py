"""What this agent has, and until when: what the pilot's settings ask for, and what its batch job was given."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from .config import AgentConfig
from .lrms import local
from .lrms.allocation import Allocation, NodeShare
from .lrms.detect import find_allocation, own_names
from .lrms.machine import this_machine

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Resources:
    """What an agent has.

    Attributes:
        machine: Name of the host it runs on.
        node: What it uses of it.
        allocation: Its batch job; None without one.
        end_s: End of its time, on ``time.monotonic``'s clock; None: nothing ends it.
        others: The other nodes that it is to use, as the batch system tells of them.
    """

    machine: str
    node: local.LocalNode
    allocation: Allocation | None
    end_s: float | None
    others: tuple[NodeShare, ...] = ()

    @property
    def submit_host(self) -> str:
        """The host that the batch job was submitted on; empty when there is none, or nobody tells."""
        return "" if self.allocation is None else self.allocation.submit_host


def find_resources(config: AgentConfig, started_s: float) -> Resources:
    """Look what this agent has.

    Args:
        config: The agent's settings.
        started_s: When the pilot's walltime began (``time.monotonic``).
    """
    since_1970_s = time.time() - time.monotonic()
    allocation = find_allocation(started_s + since_1970_s) if config.lrms == "auto" else None
    machine = this_machine()
    asked = local.Asked(config.cores, config.gpus, config.memory_mb)
    own_end_s = None if config.walltime_s is None else started_s + config.walltime_s
    if allocation is None:
        return Resources(machine.name, local.without_batch_system(machine, asked), None, own_end_s)
    share, others = local.split_shares(allocation, own_names(machine.name))
    node = local.of_allocation(machine, share, asked)
    others = local.needed(others, None if config.cores is None else config.cores - node.cores)
    _tell(allocation, node, 1 + len(others))
    job_end_s = None if allocation.end_s is None else allocation.end_s - since_1970_s
    end_s = min((end_s for end_s in (own_end_s, job_end_s) if end_s is not None), default=None)
    return Resources(machine.name, node, allocation, end_s, others)


def _tell(allocation: Allocation, node: local.LocalNode, used: int) -> None:
    logger.info(
        "lrms.found system=%s job=%s nodes=%d restarts=%d cores_here=%d",
        allocation.system,
        allocation.job,
        len(allocation.nodes),
        allocation.restarts,
        node.cores,
        extra={"action": "lrms.found"},
    )
    if used < len(allocation.nodes):
        logger.warning(
            "lrms.unused %d of the %d nodes of job %s have all the cores that were asked for; the others stay unused",
            used,
            len(allocation.nodes),
            allocation.job,
            extra={"action": "lrms.unused"},
        )
