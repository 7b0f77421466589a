"""Starting a pilot's agent: one module per way of submission, found by the scheme of the ``service_url``."""

from __future__ import annotations

from .base import AgentEnd, Notify, PilotOrder, Placeholder, Submitter
from .ways import Ways

__all__ = ["AgentEnd", "Notify", "PilotOrder", "Placeholder", "Submitter", "Ways"]
