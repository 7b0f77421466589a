"""A mover and what it serves: in this process, or in one of its own as an agent starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

from local_redis import LocalRedis
from pilot_data.data_session import DataSession
from pilot_data.node.messages import Answer, Cancel, Epoch, Message, Release, Request, Settings
from pilot_data.node.mover import Mover
from pilot_data.node.node import Node
from pilot_data.redis_catalogue import RedisCatalogue
from pilot_protocol import pilot_ops, unit_ops
from pilot_protocol.keys import label_of, queue_name, shape_of
from pilot_session import coordination_url
from pilot_session.redis_link import RedisLink

PILOT = "p-abcdefgh"
LIMIT_S = 30.0
LEASE_MS = 3_600_000


def settings_of(session: DataSession, server: LocalRedis, sandbox: Path, **others: Any) -> dict[str, Any]:
    """Return the first line that a mover is told."""
    catalogue = session.catalogue
    assert isinstance(catalogue, RedisCatalogue)
    return {
        "session": catalogue._keys.session,
        "coordination_url": server.url,
        "key_hex": catalogue._seal._key.hex(),
        "pilot": PILOT,
        "label": "here,m%2C1",
        "sandbox": str(sandbox),
        "cache_mb": 0,
        "transfers": 4,
        "fresh": False,
        **others,
    }


def request(
    do: str,
    folder: Path,
    data: Mapping[str, Sequence[str]] | None = None,
    *transfers: str,
    unit: str = "cu-aaaaaa-1",
    attempt: int = 1,
) -> Request:
    """Return a request."""
    folder.mkdir(parents=True, exist_ok=True)
    patterns = {name: tuple(names) for name, names in (data or {}).items()}
    return Request(do, unit, attempt, str(folder), patterns, transfers)


def holding(session: DataSession, server: LocalRedis, units: Sequence[str]) -> str:
    """Let the pilot hold the first attempts of compute units; return its epoch."""
    catalogue = session.catalogue
    assert isinstance(catalogue, RedisCatalogue)
    keys, service, owner = catalogue._keys, "pcs-aaaaaaaa", "cds-aaaaaaaa"
    link = RedisLink(coordination_url.parse(server.url))
    link.run(pilot_ops.attach(keys, service, owner))
    link.run(pilot_ops.create_pilot(keys, PILOT, service, b"description"))
    record: dict[str, str | int] = {
        "cores": len(units),
        "node_cores": len(units),
        "label": ",",
        "service": service,
    }
    epoch = link.run(pilot_ops.register(keys, PILOT, "first", LEASE_MS, record)).epoch
    link.run(pilot_ops.sync(keys, PILOT, epoch, LEASE_MS, []))
    queue = queue_name(owner, label_of(), shape_of(1, 1), 0)
    new = [unit_ops.NewUnit(name, queue, b"description") for name in units]
    link.run(unit_ops.submit(keys, "aaaaaa", owner, new, {}))
    claim = unit_ops.ClaimRequest(PILOT, epoch, 1, len(units), len(units), False, 0)
    assert len(link.run(unit_ops.claim(keys, claim)).units) == len(units)
    link.close()
    return epoch


class Bench:
    """A mover in this process.

    Args:
        settings: Of the mover.
        epoch: Of its pilot.
    """

    def __init__(self, settings: Settings, epoch: str = "1") -> None:
        self.node = Node(settings)
        self._answers: Queue[Answer] = Queue()
        self._mover = Mover(self.node, self._answers.put)
        self.say(Epoch(epoch))

    def say(self, message: Message) -> None:
        """Tell it something."""
        self._mover.handle(message)

    def next(self) -> Answer:
        """Return the next answer."""
        return self._answers.get(timeout=LIMIT_S)

    def ask(self, one: Request) -> Answer:
        """Ask for something, and return the answer."""
        self.say(one)
        return self.next()

    def ask_all(self, requests: Sequence[Request]) -> list[Answer]:
        """Ask for much at once."""
        for one in requests:
            self.say(one)
        return [self.next() for _ in requests]

    def cancel(self, one: Request) -> None:
        """Cancel a request."""
        self.say(Cancel(one.unit, one.attempt))

    def release(self, one: Request) -> None:
        """Tell that a unit has ended."""
        self.say(Release(one.unit, one.attempt))

    def close(self) -> bool:
        """End it."""
        ended = self._mover.close()
        if "_catalogue" in vars(self.node):
            self.node.catalogue.close()
        return ended


class MoverProcess:
    """A mover as an agent has it.

    Args:
        settings: Its first line.
        log: Where its standard error goes.
    """

    def __init__(self, settings: Mapping[str, Any], log: Path) -> None:
        self.command = [sys.executable, "-m", "pilot_data.node"]
        self._log = log
        with open(log, "ab") as writing:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=writing, text=True
            )
        self.say(settings)
        self.say({"epoch": "1"})

    def say(self, said: Mapping[str, Any]) -> None:
        """Tell it something."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()

    def ask(self, one: Request) -> None:
        """Ask for something."""
        self.say(
            {
                "do": one.do,
                "unit": one.unit,
                "attempt": one.attempt,
                "folder": one.folder,
                "data": dict(one.data),
                "transfers": one.transfers,
            }
        )

    def next(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self._log.read_text()
        found: dict[str, Any] = json.loads(line)
        return found

    def end(self) -> int:
        """Close its input, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(LIMIT_S)


@contextmanager
def running(settings: Mapping[str, Any], log: Path) -> Iterator[MoverProcess]:
    """Run a mover for the length of a block."""
    mover = MoverProcess(settings, log)
    with mover.process:
        try:
            yield mover
        finally:
            mover.process.kill()
