"""Connections by paramiko: the user's keys, agent, known hosts and configuration, read by ourselves."""

from __future__ import annotations

import importlib.util
import sys


def _leave_for_later(name: str) -> None:
    """Let a module be loaded when something of it is used, not when it is imported."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


# paramiko imports it for ``Match exec`` in a user's configuration, which hardly anybody has; it takes as long as all others.
_leave_for_later("invoke")
