"""Runs of ``pilot-data serve`` as programs of their own, which tell as JSON what they do."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from cli_runs import COMMAND
from pilot_data import DataUnit, PilotData
from pilot_data.new_data_unit import make_data_unit

LIMIT_S = 50.0

Event = dict[str, Any]


class ServingProgram:
    """One program.

    Args:
        process: It, with its outputs.

    Attributes:
        events: What it has told.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def comes_to(self, holds: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
        """Wait until something holds of what it has told; return whether it does."""
        with self._changed:
            return self._changed.wait_for(holds, limit_s)

    def tells(self, event: str, **facts: object) -> bool:
        """Wait until it has told something."""
        return self.comes_to(lambda: any(facts.items() <= one.items() for one in self.told(event)))

    def told(self, event: str) -> list[Event]:
        """Return what it has told of one kind."""
        return [one for one in self.events if one["event"] == event]

    def made(self) -> list[str]:
        """Return the data units that it has brought to a place."""
        return [one["id"] for one in self.told("replica") if one["state"] == "Done"]

    def end(self, number: int) -> tuple[int, str]:
        """Send it a signal; return its exit code, and what it has written to its standard error."""
        self.process.send_signal(number)
        code = self.process.wait(LIMIT_S)
        self._thread.join(LIMIT_S)
        assert self.process.stderr is not None
        return code, self.process.stderr.read()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()


@contextmanager
def serving(*arguments: str) -> Iterator[ServingProgram]:
    """Run one; it has begun to serve."""
    command = [*COMMAND, "serve", "--json", *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        program = ServingProgram(process)
        try:
            assert program.tells("serving"), process.poll()
            yield program
        finally:
            process.kill()
            program._thread.join(LIMIT_S)


def asked_for(store: PilotData, *file_urls: str) -> DataUnit:
    """Return a data unit that is asked for, and that this process does not make."""
    session = store._session
    unit = make_data_unit(session, {"file_urls": list(file_urls)}, [])
    session.catalogue.ask(unit.id, store.id)
    return unit
