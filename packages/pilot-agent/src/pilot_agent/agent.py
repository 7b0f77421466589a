"""Composition root of the head: builds the parts, wires them, and turns errors into exit codes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import sys
from dataclasses import replace

from pilot_protocol.errors import PilotError
from pilot_protocol.operation import PilotEndedError
from pilot_protocol.signing import Seal

from .config import AgentConfig
from .coordination_parts import Parts
from .core import AgentCore, CoreSettings
from .exit_codes import ENDED, PILOT_ENDED, REFUSED
from .fleet import Fleet
from .head import Head
from .intake import Intake
from .journal_keeper import journal_of
from .lrms.allocation import tell_restart
from .lrms.local import LocalNode
from .node.surroundings import unit_base_environment
from .outcome import Outcome, ServerClock
from .pilot_record import record_of
from .redis_link import RedisLink
from .resources import Resources, find_resources
from .scheduler.slots import NodeSpec
from .spawn.end_signals import hold_back_end_signals
from .spawn.prctl import become_subreaper
from .way import choose_way

logger = logging.getLogger(__name__)

_REPLY_TIMEOUT_S = 10.0


def run_head(config: AgentConfig, started_s: float) -> int:
    """Be the head of a pilot; returns the exit code once the pilot has ended.

    Args:
        config: The agent's settings.
        started_s: When the pilot's walltime began (``time.monotonic``); earlier than now for a head that was restarted.
    """
    become_subreaper()
    # What lives from the start on lives to the end: the collector need not look at it again and again.
    gc.freeze()
    resources = find_resources(config, started_s)
    config = replace(config, executors=min(config.executors, resources.node.cores))
    if os.path.exists(
        journal_of(config.sandbox)
    ):  # a head before this one has reached Redis, and holds a lease
        patience_s = min(config.node_patience_s, config.lease_s / 3)
        config = replace(config, first_patience_s=config.lost_timeout_s, node_patience_s=patience_s)
    try:
        asyncio.run(_serve(config, resources))
    except PilotEndedError as error:
        again = tell_restart(resources.allocation)
        logger.warning("pilot.over %s%s", again, error, extra={"action": "pilot.over"})
        return PILOT_ENDED
    except PilotError as error:
        logger.error("head.refused %s", error, extra={"action": "head.refused"})
        print(f"pilot-agent: {error}", file=sys.stderr)  # noqa: T201 - the client shows these last words
        return REFUSED
    return ENDED


async def _serve(config: AgentConfig, resources: Resources) -> None:
    fleet = Fleet(config, resources)
    await fleet.muster()
    node, way = resources.node, choose_way(config, resources)
    nodes = [node, *(far.node for far in fleet.nodes)]
    seal, clock = Seal(config.session, config.key), ServerClock()
    parts = Parts(
        RedisLink(way.url, _REPLY_TIMEOUT_S, way.open),
        seal,
        Intake(seal, config.pilot, str(config.sandbox), unit_base_environment(os.environ)),
        Outcome(seal, clock, [each.name for each in nodes]),
        clock,
    )
    # The loop's clock is time.monotonic, too.
    specs = [_spec(node, config.executors), *(_spec(far.node, 1) for far in fleet.nodes)]
    core = AgentCore(specs, CoreSettings(end_s=resources.end_s, grace_s=config.grace_s))
    head = Head(config, core, fleet, node, record_of(config, resources), way)
    try:
        await head.run(secrets.token_hex(8), parts)
    finally:
        way.close()
        hold_back_end_signals()  # one that comes late changes nothing about how it has ended


def _spec(node: LocalNode, executors: int) -> NodeSpec:
    return NodeSpec(node.cores, len(node.gpus), node.memory_mb or 0, executors)
