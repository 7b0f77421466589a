"""Checks of values with a form of their own: file transfers, tags, options of the agent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Real

from .checks import fault, listed, shown, text, text_list
from .references import without_password


def file_transfers(key: str, value: object) -> list[str]:
    """Check a list of ``source > target``, for before the start, and ``target < source``, for after the end."""
    transfers = text_list(key, listed(key, value, "'source > target'"))
    for index, transfer in enumerate(transfers):
        place = f"{key}[{index}]"
        sides = [side.strip() for side in re.split("[<>]", transfer)]
        if len(sides) != 2 or not all(sides):
            raise fault(
                place,
                f"is {shown(transfer)}; give 'source > target', or 'target < source' for after the end",
                transfer,
            )
        for side in sides:
            if "://" in side:
                without_password(place, side)
    return transfers


def tags(key: str, value: object) -> list[str] | dict[str, str]:
    """Check a list of tags, or a mapping of tags to text or numbers."""
    if not isinstance(value, Mapping):
        return text_list(key, listed(key, value, "tags, or a dict"))
    return {text(key, name): _tag(f"{key}[{name!r}]", content) for name, content in value.items()}


def _tag(place: str, content: object) -> str:
    is_number = isinstance(content, Real) and not isinstance(content, bool)
    return text(place, str(content) if is_number else content)


def options(key: str, value: object) -> dict[str, str | int | float | bool]:
    """Check a mapping of names to text, numbers and truth values."""
    if not isinstance(value, Mapping):
        raise fault(key, f"is {shown(value)}; give a dict", value)
    return {text(key, name): _option(f"{key}[{name!r}]", content) for name, content in value.items()}


def _option(place: str, content: object) -> str | int | float | bool:
    if isinstance(content, (bool, int, float)):
        return content
    if isinstance(content, str):
        return text(place, content)
    raise fault(place, f"is {shown(content)}; text, a number, True or False is allowed", content)
