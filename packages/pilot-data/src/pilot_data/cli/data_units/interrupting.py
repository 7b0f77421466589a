"""Ctrl-C while a data unit or Pilot-Data is worked on: its state is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pilot_data.cli.output import tell

from .found import Found
from .telling_units import state_line


@contextmanager
def state_told(found: Found) -> Iterator[None]:
    """Tell the state of an object when the context is left by Ctrl-C, which goes on to end the program."""
    try:
        yield
    except KeyboardInterrupt:
        tell(f"interrupted: {state_line(found)}")
        raise
