"""The start journal: what was started, how it ended, what Redis confirmed; on disk for the time when a process dies.

Append-only text, one JSON list per line, one write per batch. Each process writes files of its own, the segments
`<directory>/<writer>.<number>.jsonl`. Records:

    ["S", unit, attempt, …]     head: about to be handed to an executor, which starts it; and for the how many-th time,
                                from the second on. Or: it is known to run
    ["C", unit, attempt, …]     head: about to be handed to an executor, which starts it when another unit ends; likewise
    ["B", unit, attempt]        executor: about to begin, since another unit has ended
    ["T", unit, attempt, …]     head: about to be told to end, and why
    ["E", unit, attempt, END]   executor: ended
    ["U", unit, attempt]        executor: given back without having been started
    ["R", unit, attempt]        head: Redis confirmed its end

Invariant: a record is in the kernel's hands before the message it stands for leaves the process. That outlives every
process; a crash of the node loses the pilot anyway, so nothing is synced to the disk.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pilot_agent.node.frames import encode

SEGMENT_BYTES = 4 * 1024 * 1024
"""Size from which a segment is full."""

DURABILITY_WINDOW_S = 30.0
"""How long a confirmed end is kept, in case Redis comes back without its last seconds."""

Record = Sequence[Any]
UnitAttempt = tuple[str, int]

_SUFFIX = ".jsonl"


class JournalWriter:
    """Appends records to the segments of one process."""

    def __init__(self, directory: str, writer: str, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Begin a new segment, numbered after those that exist.

        Args:
            directory: folder of the journal, made when absent.
            writer: name of this process among those that write there, e.g. `head` or `executor-0`.
            segment_bytes: size from which `full` is true.

        Raises:
            OSError: the folder or the file cannot be made.
        """
        os.makedirs(directory, mode=0o700, exist_ok=True)
        numbers = [_number(name) for name in os.listdir(directory) if name.rsplit(".", 2)[0] == writer]
        self._directory = directory
        self._writer = writer
        self._segment_bytes = segment_bytes
        self._torn = False
        self._open(max(numbers, default=0) + 1)

    @property
    def segment(self) -> str:
        """File name of the segment being written."""
        return f"{self._writer}.{self._number}{_SUFFIX}"

    @property
    def full(self) -> bool:
        """Whether it is time to `rotate`."""
        return self._size >= self._segment_bytes

    def append(self, records: Iterable[Record]) -> None:
        """Write `records` in their order.

        Raises:
            OSError: the disk is full or gone; what was written of them is cut off at the next `append`.
        """
        self.append_lines("".join([encode(record) + "\n" for record in records]))

    def append_lines(self, lines: str) -> None:
        """Write records that are encoded already, each with a line feed behind it.

        Raises:
            OSError: as `append`.
        """
        data = lines.encode("ascii")
        if self._torn:
            data = b"\n" + data
        self._torn = True
        while data:
            written = os.write(self._fd, data)
            self._size += written
            data = data[written:]
        self._torn = False

    def rotate(self, carried: Iterable[Record] = ()) -> str:
        """Begin the next segment with the records `carried` over; return the file name of the one that is closed.

        Raises:
            OSError: the new file cannot be made, and the old one stays in use; or `carried` cannot be written to it.
        """
        closed, closed_fd = self.segment, self._fd
        self._open(self._number + 1)
        os.close(closed_fd)
        self.append(carried)
        return closed

    def close(self) -> None:
        """Close the segment. It stays on disk."""
        os.close(self._fd)

    def _open(self, number: int) -> None:
        path = os.path.join(self._directory, f"{self._writer}.{number}{_SUFFIX}")
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._number = number
        self._size = 0


def _number(name: str) -> int:
    """Number of the segment called `name`, 0 for other files."""
    stem, _, suffix = name.rpartition(".")
    number = stem.rpartition(".")[2]
    return int(number) if f".{suffix}" == _SUFFIX and number.isdigit() else 0


def segments(directory: str) -> list[str]:
    """Return the file names of all segments below `directory`, those of one writer in the order of writing."""
    if not os.path.isdir(directory):
        return []
    names = [name for name in os.listdir(directory) if _number(name)]
    return sorted(names, key=lambda name: (name.split(".")[0], _number(name)))


def read_records(directory: str, names: Iterable[str]) -> list[list[Any]]:
    """Return the records of the segments called `names`.

    Lines that are cut off, as a process killed in the middle of writing leaves them, are passed over.
    """
    records: list[list[Any]] = []
    for name in names:
        with open(os.path.join(directory, name), "rb") as lines:
            records += [record for line in lines if (record := _decode(line)) is not None]
    return records


def _decode(line: bytes) -> list[Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, list) and len(record) >= 3 else None


class Recovery(NamedTuple):
    """What a restarted head learns from the journal. Units in none of the three were claimed, but never started."""

    ended: dict[UnitAttempt, Any]
    """END of units whose end Redis has not confirmed; to be reported."""
    lost: list[UnitAttempt]
    """Handed to an executor, and nobody knows what became of them; to be reported as lost."""
    confirmed: dict[UnitAttempt, Any]
    """END of units that Redis confirmed; to be reported again if Redis has restarted since."""
    causes: dict[UnitAttempt, list[Any]]
    """Why units were told to end, as it was written; to be heeded where they are reported."""


def recover(records: Iterable[Record]) -> Recovery:
    """Return what `records`, in any order, say about the units."""
    handed: dict[UnitAttempt, int] = {}
    begun: dict[UnitAttempt, None] = {}
    ends: dict[UnitAttempt, Any] = {}
    given_back: Counter[UnitAttempt] = Counter()
    confirmed: set[UnitAttempt] = set()
    causes: dict[UnitAttempt, list[Any]] = {}
    for kind, unit, attempt, *rest in records:
        key = (unit, attempt)
        if kind in ("S", "C"):
            handed[key] = max([handed.get(key, 1), *rest])
        if kind in ("S", "B"):
            begun[key] = None
        elif kind == "E" and rest:
            ends[key] = rest[0]
        elif kind == "U":
            given_back[key] += 1
        elif kind == "R":
            confirmed.add(key)
        elif kind == "T":
            causes[key] = rest
    known = confirmed.union(ends)
    return Recovery(
        ended={key: end for key, end in ends.items() if key not in confirmed},
        lost=[key for key in begun if key not in known and given_back[key] < handed.get(key, 1)],
        confirmed={key: end for key, end in ends.items() if key in confirmed},
        causes=causes,
    )
