"""Ctrl-C while a data unit or Pilot-Data is worked on: its state is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pilot_data.errors import CanceledError

from .found import Found
from .telling_units import state_line


@contextmanager
def state_told(found: Found) -> Iterator[None]:
    """Let Ctrl-C inside the context be an error that tells the state of an object.

    Raises:
        CanceledError: Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise CanceledError(f"interrupted: {state_line(found)}") from None
