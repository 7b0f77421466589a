"""Patterns of file names, as shells read them: ``*``, ``?``, ``[abc]``, and ``**`` for any number of folders. Pure."""

from __future__ import annotations

import fnmatch
import re
from functools import cache
from urllib.parse import unquote

_SPECIAL = re.compile(r"[*?[]")
_ENCODED_SPECIAL = re.compile(r"%2A|%3F|%5B", re.IGNORECASE)


def is_pattern(text: str) -> bool:
    """Return whether a text has a character that makes it a pattern."""
    return _SPECIAL.search(text) is not None


def split(path: str) -> tuple[str, str]:
    """Return the part of a path before its first pattern, without a slash at its end, and the rest.

    Args:
        path: For example ``/data/run*/x``, which gives ``/data`` and ``run*/x``.
    """
    parts = path.split("/")
    first = next((number for number, part in enumerate(parts) if is_pattern(part)), len(parts))
    head = "/".join(parts[:first])
    return (head or "/" if path.startswith("/") else head), "/".join(parts[first:])


def escaped(text: str) -> str:
    """Return the pattern that an encoded part of a URL stands for; what is special and encoded means itself."""
    return unquote(
        _ENCODED_SPECIAL.sub(lambda found: f"[{unquote(found[0])}]", text), errors="surrogateescape"
    )


def top(pattern: str, path: str) -> str:
    """Return the part of a path that a pattern names, without what lies below it.

    Args:
        pattern: Relative; with ``**`` in it, it names the whole path.
        path: Relative, of what it matches.
    """
    parts = pattern.split("/")
    return path if "**" in parts else "/".join(path.split("/")[: len(parts)])


def matches(pattern: str, path: str) -> bool:
    """Return whether a pattern names a path, or a folder above it.

    Args:
        pattern: Relative.
        path: Relative, ``/`` between names. Names that begin with a dot are named by patterns that begin with one.
    """
    return _match(tuple(pattern.split("/")), tuple(path.split("/")))


def _match(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    if not pattern:
        return True  # what is left of the path lies below a folder that was named
    if not names:
        return pattern == ("**",)
    if pattern[0] == "**":
        seen = not names[0].startswith(".")
        further = pattern[1:]
        return _match(further, names) or (seen and _match(pattern, names[1:])) if further else seen
    return _names(pattern[0], names[0]) and _match(pattern[1:], names[1:])


def _names(pattern: str, name: str) -> bool:
    if name.startswith(".") and not pattern.startswith("."):
        return False
    return _compiled(pattern).match(name) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
