"""What every way of submission offers: a pilot's order goes in, a handle of its placeholder job comes out.

The invariant: a way of submission knows its resource and nothing of Redis; who ends a pilot is the service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

from pilot_protocol.errors import SubmissionError
from pilot_protocol.specs import PilotSpec


@dataclass(frozen=True)
class PilotOrder:
    """A pilot to be submitted.

    Attributes:
        pilot: Its id.
        spec: What the user described.
        settings: What its agent needs to find and to trust its session: ``coordination_url`` with the password,
            ``session``, ``key`` and ``lease_s``.
    """

    pilot: str
    spec: PilotSpec
    settings: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class AgentEnd:
    """The end of an agent whose processes are all gone.

    Attributes:
        pilot: Its pilot.
        exit_code: Of its first process; negative when a signal ended it; None when its resource does not tell.
        log: The end of what it wrote to standard error.
        words: What its resource said of the end; mostly empty.
    """

    pilot: str
    exit_code: int | None
    log: str
    words: str = ""


Notify = Callable[[AgentEnd], None]
"""Told once when an agent's processes are gone, from another thread."""


class Placeholder(Protocol):
    """The placeholder job of a pilot."""

    @property
    def job(self) -> str:
        """What the resource calls it: a process id, the number of a batch job."""

    @property
    def handle(self) -> str:
        """What finds it again, see `Submitter.attach`; empty when nothing does."""

    @property
    def news(self) -> str:
        """What its resource said of it last: why it waits, for example; mostly empty."""

    @property
    def cores(self) -> int | None:
        """Cores it holds; None while only its resource knows."""

    def kill(self) -> None:
        """End it without waiting for its agent; nothing happens when it has ended.

        Raises:
            SubmissionError: Its resource does not end it, or is not reached.
        """

    def wait(self, timeout_s: float) -> bool:
        """Wait until nothing of it is left, and its end was told; returns whether that is so."""


class Submitter(Protocol):
    """One way of submission."""

    def submit(self, order: PilotOrder, notify: Notify) -> Placeholder:
        """Hand a pilot to its resource, and return when that has taken it.

        Raises:
            SubmissionError: The resource does not take it.
        """

    def attach(self, order: PilotOrder, handle: str, notify: Notify) -> Placeholder:
        """Return the placeholder of a pilot that another process submitted.

        Args:
            order: The pilot; its settings are not needed.
            handle: Of the placeholder.
            notify: Told when all of the agent's processes are gone.

        Raises:
            SubmissionError: The resource cannot be reached.
        """

    def close(self) -> None:
        """Give up what is open to the resource; jobs stay."""


def scheme_of(service_url: str) -> str:
    """Return the scheme of a ``service_url``."""
    return urlsplit(service_url).scheme


def refuse(service_url: str) -> SubmissionError:
    """Return the error for a resource that there is no way of submission for."""
    return SubmissionError(f"no pilot can be submitted to {service_url}: nothing here serves its scheme")
