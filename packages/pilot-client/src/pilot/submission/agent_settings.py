"""What an agent is told at its start: the content of ``agent.json``, the same for every way of submission. Pure.

It holds the session's key and the password of Redis: whoever writes it makes the file its owner's alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pilot_protocol.keys import label_of

from .base import PilotOrder

FILE = "agent.json"
"""Its name, in the pilot's sandbox."""


def settings_of(order: PilotOrder, sandbox: str, more: Mapping[str, Any]) -> bytes:
    """Return the settings of a pilot's agent, as JSON.

    Args:
        order: The pilot.
        sandbox: Its folder, as an absolute path on the target.
        more: What only the way of submission knows, like ``cores``.
    """
    spec = order.spec
    content = {
        **order.settings,
        **more,
        "pilot": order.pilot,
        "sandbox": sandbox,
        "walltime_s": spec.walltime_s,
        "label": label_of(spec.affinity_datacenter_label, spec.affinity_machine_label),
        "gpus": spec.gpus_per_node,
        "memory_mb": spec.memory_per_node_mb,
        "options": dict(spec.agent_options),
    }
    return json.dumps(content, indent=1).encode() + b"\n"
