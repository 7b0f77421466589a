"""One mover process: JSON lines to it and from it, its errors in a log of its own. What they mean is not known here."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .mover_place import MoverPlace
from .tied_process import Surroundings, TiedProcess

_LONGEST_LINE = 4 * 1024 * 1024


class MoverProcess(TiedProcess):
    """A mover, from its start on.

    Args:
        place: How it is started.
        log: Where its errors go; appended to.
        answered: Takes what it says.
        has_ended: Called when it has ended.

    Raises:
        OSError: It cannot be started, or its log not be written.
    """

    longest_line = _LONGEST_LINE

    def __init__(
        self,
        place: MoverPlace,
        log: Path,
        answered: Callable[[str], None],
        has_ended: Callable[[], None],
    ) -> None:
        self._answered, self._has_ended = answered, has_ended
        self._unsent = bytearray()
        errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        its_input, self._input = os.pipe()
        os.set_blocking(self._input, False)
        self._is_open = True
        try:
            super().__init__(place.command, 0, Surroundings(its_input, errors, place.environment))
        except OSError:
            os.close(self._input)
            raise
        finally:
            os.close(its_input)
            os.close(errors)

    def note(self, line: str) -> None:
        """Take a line that it said."""
        self._answered(line)

    def ended(self) -> None:
        """It has ended."""
        self._unsent.clear()
        self.close()
        self._has_ended()

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send one line, as soon as it can be taken."""
        if not self._is_open:
            return
        is_waiting = bool(self._unsent)
        self._unsent += json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if not is_waiting:
            self._send()

    def _send(self) -> None:
        try:
            sent = os.write(self._input, self._unsent)
        except BlockingIOError:
            sent = 0
        except BrokenPipeError:  # its end is about to be heard
            sent = len(self._unsent)
        del self._unsent[:sent]
        loop = asyncio.get_running_loop()
        if self._unsent:
            loop.add_writer(self._input, self._send)
        else:
            loop.remove_writer(self._input)

    def close(self) -> None:
        """Say nothing more, which lets it end."""
        if self._is_open:
            self._is_open = False
            asyncio.get_running_loop().remove_writer(self._input)
            os.close(self._input)
