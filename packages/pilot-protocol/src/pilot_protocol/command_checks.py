"""Checks of what a program is started with: arguments, environment, and their size together.

Arguments reach the program one by one, never through a shell, so any text is good except what Linux cannot pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from .checks import LONGEST_TEXT_BYTES, fault, is_plain, path, shown, size_bytes, sound_text
from .errors import DescriptionError
from .references import id_of

LARGEST_COMMAND_BYTES = 1_048_576
"""Arguments and environment of one unit; Linux allows 2 MiB, of which the node's own environment takes a part."""

# One character has at most four bytes in UTF-8.
_SURELY_SMALL_CHARACTERS = LONGEST_TEXT_BYTES // 4


def arguments(key: str, value: object) -> list[str]:
    """Check a list of arguments; numbers become text as ``str`` writes them, paths as they are."""
    if not isinstance(value, (list, tuple)):
        raise fault(key, f"is {shown(value)}; give a list with one item per argument", value)
    try:
        items = list(map(str.__str__, value))  # takes nothing but strings, and makes subclasses plain
    except TypeError:
        items = [_argument(f"{key}[{index}]", item) for index, item in enumerate(value)]
    joined = "".join(items)
    if len(joined) > _SURELY_SMALL_CHARACTERS or "\0" in joined or not joined.isascii():
        for index, item in enumerate(items):
            sound_text(f"{key}[{index}]", item)
    return items


def _argument(place: str, item: object) -> str:
    if _is_number(item):
        return str(item)
    if isinstance(item, str) or hasattr(type(item), "__fspath__"):
        return path(place, item)
    raise fault(place, f"is {shown(item)}; text, a number or a path is allowed", item)


def environment(key: str, value: object) -> dict[str, str]:
    """Check variables: a mapping, or a list of ``NAME=value`` where the value may have further ``=``.

    Numbers become text as ``str`` writes them; an object with a text ``id``, like a compute unit, becomes its id.
    """
    if isinstance(value, Mapping):
        pairs: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = [_split(f"{key}[{index}]", entry) for index, entry in enumerate(value)]
    else:
        raise fault(key, f"is {shown(value)}; give a dict, or a list of NAME=value", value)
    return {_name(key, name): _variable(key, name, content) for name, content in pairs}


def _split(place: str, entry: object) -> tuple[str, str]:
    if isinstance(entry, str) and "=" in entry:
        name, _, content = entry.partition("=")
        return name, content
    raise fault(place, f"is {shown(entry)}; give NAME=value", entry)


def _name(key: str, name: object) -> str:
    if not isinstance(name, str) or not name or "=" in name:
        raise fault(
            key, f"has a variable named {shown(name)}; a name is text without '=' and not empty", name
        )
    return str.__str__(name)


def _variable(key: str, name: str, content: object) -> str:
    plain = content if isinstance(content, str) else str(content) if _is_number(content) else id_of(content)
    if plain is None:
        raise fault(f"{key}[{name!r}]", f"is {shown(content)}; text or a number is allowed", content)
    entry = f"{name}={plain}"  # the system gets, and counts, both as one
    if not is_plain(entry):
        sound_text(f"{key}[{name!r}]", entry)
    return str.__str__(plain)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_command_size(items: Iterable[str], variables: Mapping[str, str]) -> None:
    """Refuse arguments and variables that are too much for one program together.

    Raises:
        DescriptionError: They have more than :data:`LARGEST_COMMAND_BYTES`.
    """
    together = "".join([*items, *variables, *variables.values()])
    if len(together) <= LARGEST_COMMAND_BYTES // 4:
        return
    size = size_bytes("arguments", together)
    if size > LARGEST_COMMAND_BYTES:
        raise DescriptionError(
            f"arguments and environment are {size:,} bytes long together, {LARGEST_COMMAND_BYTES:,} are allowed; "
            "pass a file instead",
            key="arguments",
        )
