"""Checks of single values, of which the tables of the descriptions are made.

A check takes a key and the value given for it and returns the normalized value, made of what JSON can say, or raises a
``DescriptionError`` that names the key, the value and what is allowed. None and empty text never reach a check: they
count as not given. What several values mean together is checked where their description is.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Collection, Sequence
from numbers import Real
from typing import Any

from .errors import DescriptionError

Check = Callable[[str, Any], object]

LONGEST_TEXT_BYTES = 131_071
"""What Linux allows for one argument or environment entry (``MAX_ARG_STRLEN`` less the terminating NUL)."""

LARGEST_NUMBER = 2**31 - 1
LEAST_SHARE = 0.001
"""Of one thing that several may share."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,10}")
_SHOWN_CHARACTERS = 60


def fault(place: str, problem: str, value: object = None) -> DescriptionError:
    """Return the error for a value; ``place`` is its key, with an index where it is one of several."""
    return DescriptionError(f"{place} {problem}", key=place.partition("[")[0], value=value)


def shown(value: object) -> str:
    """Return a value as it stands in messages: its ``repr``, shortened."""
    full = repr(value)
    return full if len(full) <= _SHOWN_CHARACTERS else full[: _SHOWN_CHARACTERS - 1] + "…"


def suggestion(word: str, known: Collection[str]) -> str:
    """Return what to say about a word that is not one of the known ones."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"


def text(key: str, value: object) -> str:
    """Check text that becomes part of a command, a path or a name."""
    if not isinstance(value, str):
        raise fault(key, f"is {shown(value)}; give text", value)
    return sound_text(key, value)


def is_plain(value: str) -> bool:
    """Return whether text is sure to be sound: ASCII, not long, no NUL."""
    return value.isascii() and len(value) <= LONGEST_TEXT_BYTES and "\0" not in value


def sound_text(place: str, value: str) -> str:
    """Return a string as plain ``str`` if the system can take it.

    Bytes that are not UTF-8 are allowed in the form of lone surrogates (PEP 383).

    Raises:
        DescriptionError: It has a NUL byte, a character that stands for no text, or too many bytes.
    """
    plain = str.__str__(value)  # what an instance of a subclass holds, whatever it prints
    if is_plain(plain):
        return plain
    if "\0" in plain:
        raise fault(place, "has a NUL byte, which no program can be given; take it out", value)
    size = size_bytes(place, plain)
    if size > LONGEST_TEXT_BYTES:
        limit = f"Linux allows {LONGEST_TEXT_BYTES:,} for one argument"
        raise fault(place, f"is {size:,} bytes long, {limit}; pass a file instead", value)
    return plain


def size_bytes(place: str, value: str) -> int:
    """Return the length of a string in bytes, as the system gets it.

    Raises:
        DescriptionError: A character stands for no text.
    """
    try:
        return len(value.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        problem = f"has {value[error.start]!r}, half of a character; give whole ones"
        raise fault(place, problem, value) from None


def path(key: str, value: object) -> str:
    """Check a path: text, or an object like :class:`pathlib.Path`."""
    if isinstance(value, str):
        return sound_text(key, value)
    as_text = getattr(type(value), "__fspath__", None)
    return text(key, value if as_text is None else as_text(value))


def listed(key: str, value: object, what: str) -> Sequence[Any]:
    """Return a list or tuple as it is.

    Raises:
        DescriptionError: It is something else, most often the single item without its list.
    """
    if isinstance(value, (list, tuple)):
        return value
    raise fault(key, f"is {shown(value)}; give a list of {what}", value)


def text_list(key: str, value: object) -> list[str]:
    """Check a list of non-empty texts."""
    items = enumerate(listed(key, value, "text"))
    return [non_empty(f"{key}[{index}]", text(f"{key}[{index}]", item)) for index, item in items]


def non_empty(place: str, value: str) -> str:
    """Return text that has a character at least.

    Raises:
        DescriptionError: It has none.
    """
    if not value:
        raise fault(place, "is empty; fill it in or leave it out", value)
    return value


def whole_number(least: int, most: int = LARGEST_NUMBER) -> Check:
    """Return a check for whole numbers from ``least`` to ``most``; text of digits and floats like 4.0 are taken."""

    def check(key: str, value: object) -> int:
        number = value if type(value) is int else _as_whole(value)
        if number is None or not least <= number <= most:
            raise fault(key, f"is {shown(value)}; a whole number from {least} to {most} is allowed", value)
        return number

    return check


def share_or_whole(key: str, value: object) -> float:
    """Check a whole number from 0, or a share of one between 0 and 1."""
    if type(value) is float and LEAST_SHARE <= value < 1:
        return value
    number = _as_whole(value) if type(value) is not int else value
    if number is None or not 0 <= number <= LARGEST_NUMBER:
        allowed = f"a whole number from 0, or a share from {LEAST_SHARE} to 1, is allowed"
        raise fault(key, f"is {shown(value)}; {allowed}", value)
    return number


def _as_whole(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if _WHOLE_NUMBER.fullmatch(value) else None
    number = _as_float(value)
    return int(number) if number.is_integer() else None


def positive_number(key: str, value: object) -> float:
    """Check a number above zero; text that reads as one is taken."""
    number = _as_float(value)
    if not 0 < number <= LARGEST_NUMBER:  # false for NaN, too
        raise fault(key, f"is {shown(value)}; a number above 0 and up to {LARGEST_NUMBER} is allowed", value)
    return number


def _as_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, str)):
        return math.nan
    try:
        return float(value)
    except (OverflowError, ValueError):
        return math.nan


def flag(key: str, value: object) -> bool:
    """Check a truth value."""
    if not isinstance(value, bool):
        raise fault(key, f"is {shown(value)}; True or False is allowed", value)
    return value


def choice(*allowed: str) -> Check:
    """Return a check for one of a few words, written in any case."""

    def check(key: str, value: object) -> str:
        word = value.lower() if isinstance(value, str) else None
        if word not in allowed:
            raise fault(key, f"is {shown(value)}; allowed: {', '.join(allowed)}", value)
        return word

    return check
