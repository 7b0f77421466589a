"""The decisions of an agent: events in, actions out. Pure: no clock, no network, no process."""

from __future__ import annotations

from .agent_core import AgentCore, CoreSettings

__all__ = ["AgentCore", "CoreSettings"]
