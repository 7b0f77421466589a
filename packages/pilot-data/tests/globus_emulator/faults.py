"""What goes wrong in the emulator, on request."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any


class Refusal(Exception):  # noqa: N818 - it is an answer
    """An answer that is an error."""

    def __init__(self, status: int, code: str, message: str, **more: Any) -> None:
        super().__init__(code)
        self.status = status
        self.document = {"code": code, "message": message, **more}
        self.headers: dict[str, str] = {}

    def after(self, seconds: int) -> Refusal:
        """Ask to come back so many seconds later."""
        self.headers["Retry-After"] = str(seconds)
        return self


@dataclass
class Faults:
    """Switches; tests set them.

    Attributes:
        refusals: What the next calls are answered, by what their path ends with.
        consents: Ids of collections that want a consent first.
        corrupt: How many copies will be wrong, in one byte.
        cut: How many copies will be too short.
        unreadable: Names of files that cannot be read.
        gate: Copies stop in the middle of a file while it is not set.
        stopped: Set when a copy has come to the gate.
        state: New tasks are as this says, keys of a task's document, and copy nothing until it is empty again.
        fatal: New tasks fail with this code.
        keeps_names: Renaming does not replace a file.
        tells_sha256: Whether checksums of copies can be SHA-256.
        identical: Whether a second task for the same files is refused.
    """

    refusals: list[tuple[str, Refusal]] = field(default_factory=list)
    consents: set[str] = field(default_factory=set)
    corrupt: int = 0
    cut: int = 0
    unreadable: set[str] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)
    state: dict[str, Any] = field(default_factory=dict)
    fatal: str = ""
    keeps_names: bool = False
    tells_sha256: bool = True
    identical: bool = True

    def __post_init__(self) -> None:
        self.gate.set()

    def refuse(self, path_end: str, refusal: Refusal, times: int = 1) -> None:
        """Answer the next calls of a path so."""
        self.refusals += [(path_end, refusal)] * times

    def close_gate(self) -> None:
        """Let copies stop in the middle."""
        self.stopped.clear()
        self.gate.clear()

    def meet(self, path: str) -> None:
        """Answer a call as was asked for."""
        for number, (path_end, refusal) in enumerate(self.refusals):
            if path.endswith(path_end):
                del self.refusals[number]
                raise refusal
