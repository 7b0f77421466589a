"""How things are shown: names of files safely, sizes for people, errors on one line, events as JSON."""

from __future__ import annotations

import json
from typing import Any

import click

_UNITS = "BKMGTPE"


def shown(name: str) -> str:
    r"""Return a name on one line: what cannot be printed as ``\n``, ``\x1b``, and a backslash as two."""
    if name.isprintable() and "\\" not in name:
        return name
    return "".join(map(_shown, name))


def human(size: int) -> str:
    """Return a number of bytes as ``ls -h`` shows it: ``17``, ``4.0K``, ``12M``; a K is 1024."""
    number, unit = float(size), 0
    while number >= 1024 and unit < len(_UNITS) - 1:
        number, unit = number / 1024, unit + 1
    if unit == 0:
        return str(size)
    return f"{number:.1f}{_UNITS[unit]}" if number < 9.95 else f"{number:.0f}{_UNITS[unit]}"


def tell(message: str) -> None:
    """Write a line to the standard error."""
    click.echo(f"pilot-data: {_one_line(message)}", err=True)


def show_event(event: str, **facts: Any) -> None:
    """Write a JSON object on a line of its own; names that are no UTF-8 have their bytes as surrogates (PEP 383)."""
    click.echo(json.dumps({"event": event, **facts}))


def _one_line(message: str) -> str:
    return "".join(character if character.isprintable() else _shown(character) for character in message)


def _shown(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    if character == "\\" or not character.isprintable():
        return character.encode("unicode_escape").decode("ascii")
    return character
