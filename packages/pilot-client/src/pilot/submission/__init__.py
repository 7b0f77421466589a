"""Starting a pilot's agent: one module per way of submission, found by the scheme of the ``service_url``."""

from __future__ import annotations

from .base import AgentEnd, Notify, PilotOrder, Placeholder, Submitter, refuse, scheme_of
from .fork import ForkSubmitter

__all__ = ["AgentEnd", "Notify", "PilotOrder", "Placeholder", "Submitter", "submitter_for"]

_SUBMITTERS: dict[str, Submitter] = {"fork": ForkSubmitter()}


def submitter_for(service_url: str) -> Submitter:
    """Return the way of submission for a resource.

    Raises:
        SubmissionError: There is none for its scheme.
    """
    submitter = _SUBMITTERS.get(scheme_of(service_url))
    if submitter is None:
        raise refuse(service_url)
    return submitter
