"""Answers that are waited for: what a task that awaits one is suspended on."""

from __future__ import annotations

from collections.abc import Callable, Generator

from .sftp_wire import Buffer


class Reply:
    """What will be answered to a question. ``await`` it; what is there already is had at once.

    Attributes:
        kind: Of the packet that answers, a `sftp_wire.Kind`; 0 before it has come, -1 for answers of other kinds.
        body: What it says.
        waiter: Called when it has come: lets the task go on that awaits it.
    """

    __slots__ = ("body", "kind", "waiter")

    def __init__(self) -> None:
        self.kind = 0
        self.body: Buffer = b""
        self.waiter: Callable[[], None] | None = None

    def __await__(self) -> Generator[Reply, None, Reply]:
        if not self.kind:
            yield self
        return self

    def settle(self, kind: int, body: Buffer) -> None:
        """Note the answer."""
        self.kind = kind
        self.body = body
