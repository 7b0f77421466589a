"""Composition root of the head: builds the parts, wires them, and turns errors into exit codes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import sys

from pilot_protocol.errors import PilotError
from pilot_protocol.operation import PilotEndedError
from pilot_protocol.signing import Seal
from pilot_protocol.version import PROTOCOL

from . import __version__
from .config import AgentConfig
from .coordination_parts import Parts
from .core import AgentCore, CoreSettings
from .exit_codes import ENDED, PILOT_ENDED, REFUSED
from .head import Head
from .intake import Intake
from .lrms import local
from .outcome import Outcome, ServerClock
from .redis_link import RedisLink
from .scheduler.slots import NodeSpec
from .spawn.prctl import become_subreaper

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
    try:
        asyncio.run(_serve(config, started_s))
    except PilotEndedError as error:
        logger.warning("pilot.over %s", error, extra={"action": "pilot.over"})
        return PILOT_ENDED
    except PilotError as error:
        logger.error("head.refused %s", error, extra={"action": "head.refused"})
        print(f"pilot-agent: {error}", file=sys.stderr)  # noqa: T201 - the client shows these last words
        return REFUSED
    return ENDED


async def _serve(config: AgentConfig, started_s: float) -> None:
    node = local.detect(config.cores)
    seal, clock = Seal(config.session, config.key), ServerClock()
    parts = Parts(
        RedisLink(config.coordination_url, _REPLY_TIMEOUT_S),
        seal,
        Intake(seal, config.pilot, str(config.sandbox)),
        Outcome(seal, clock, node.name),
        clock,
    )
    core = AgentCore([_spec(config, node)], _settings(config, started_s))
    await Head(config, core, node, _record(config, node)).run(secrets.token_hex(8), parts)


def _spec(config: AgentConfig, node: local.LocalNode) -> NodeSpec:
    return NodeSpec(node.cores, config.gpus, config.memory_mb or 0, config.executors)


def _settings(config: AgentConfig, started_s: float) -> CoreSettings:
    # The loop's clock is time.monotonic, too.
    end_s = None if config.walltime_s is None else started_s + config.walltime_s
    return CoreSettings(end_s=end_s, grace_s=config.grace_s)


def _record(config: AgentConfig, node: local.LocalNode) -> dict[str, str]:
    return {
        "cores": str(node.cores),
        "node_cores": str(node.cores),
        "gpus": str(config.gpus),
        "memory_mb": str(config.memory_mb or ""),
        "label": config.label,
        "nodes": node.name,
        "protocol": PROTOCOL,
        "version": __version__,
        "pid": str(os.getpid()),
    }
