"""Ended units on their way out: from an executor's record to the sealed result that Redis keeps.

Times are converted from the node's clock to the server's, the only clock that users and other nodes see.
"""

from __future__ import annotations

from collections.abc import Sequence

from pilot_protocol.messages import UnitResult, seal_name
from pilot_protocol.signing import RESULT, Seal
from pilot_protocol.unit_ops import UnitReport

from .actions import ReportItem

_NO_END = ("R", "S", "U", "H")


class ServerClock:
    """The Redis server's clock as this node can tell it: its own clock plus a measured difference."""

    def __init__(self) -> None:
        self._ahead_ms = 0.0

    def learn(self, server_ms: int, node_s: float) -> None:
        """Take the server's time out of a reply that came at ``node_s`` of this node's clock."""
        self._ahead_ms = server_ms - node_s * 1000.0

    def at(self, node_s: float) -> int:
        """Return the server's milliseconds at ``node_s`` of this node's clock."""
        return int(node_s * 1000.0 + self._ahead_ms)


class Outcome:
    """Seals results.

    Args:
        seal: The session's.
        clock: For the results' times.
        nodes: Names of the pilot's nodes.
    """

    def __init__(self, seal: Seal, clock: ServerClock, nodes: Sequence[str]) -> None:
        self._seal = seal
        self._clock = clock
        self._nodes = nodes

    def report(self, item: ReportItem) -> UnitReport:
        """Return what is told of one unit; only what may be its end carries a result."""
        if item.letter in _NO_END:
            return UnitReport(item.id, item.attempt, item.letter)
        sealed = self._seal.close(RESULT, seal_name(item.id, item.attempt), self._result(item).to_bytes())
        return UnitReport(item.id, item.attempt, item.letter, sealed)

    def _result(self, item: ReportItem) -> UnitResult:
        end = item.end
        node = self._node_of(item)
        if end is None:
            return UnitResult(reason=item.reason, message=item.message, node=node)
        return UnitResult(
            exit_code=end["code"],
            signal=end["signal"],
            reason=item.reason,
            message=item.message,
            started_ms=self._clock.at(end["t0"]),
            ended_ms=self._clock.at(end["t1"]),
            user_s=round(end["user"], 4),
            system_s=round(end["system"], 4),
            peak_memory_kb=end["rss_kb"],
            cores=item.cores,
            node=node,
            working_directory=end["cwd"],
            stdout=end["out"],
            stderr=end["err"],
            stdout_file=end["out_file"],
            stderr_file=end["err_file"],
        )

    def _node_of(self, item: ReportItem) -> str:
        """Return its nodes' names; of an end that a former head's journal told only a pilot of one node knows it."""
        if not item.nodes and len(self._nodes) == 1:
            return self._nodes[0]
        return ",".join(self._nodes[node] for node in item.nodes)
