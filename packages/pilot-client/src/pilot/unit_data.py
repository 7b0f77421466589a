"""Which data units a compute unit reads and which it adds files to. Pure: from what a description names to ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pilot_protocol.errors import DescriptionError
from pilot_session import coordination_url

DATA_KEYS = ("input_data", "output_data")
"""Keys of a unit's description that name data units."""

Patterns = dict[str, list[str]]


def resolve_data_units(payload: dict[str, Any], session: str) -> None:
    """Replace the URLs of data units in a normalized description by their ids.

    Args:
        payload: The description; is changed.
        session: The id of the session that the unit is submitted in.

    Raises:
        DescriptionError: It names no data unit, or one of another session, or reads a data unit that it adds files to.
    """
    for key in DATA_KEYS:
        if key in payload:
            payload[key] = _by_id(key, payload[key], session)
    for name in payload.get("output_data", ()):
        if name in payload.get("input_data", ()):
            raise DescriptionError(
                f"input_data and output_data both name data unit {name}: the compute unit would wait for itself; "
                "let it write to another data unit",
                key="output_data",
                value=name,
            )


def _by_id(key: str, given: Mapping[str, Sequence[str]], session: str) -> Patterns:
    found: Patterns = {}
    for text, patterns in given.items():
        known = found.setdefault(_id_of(key, text, session), [])
        known += [pattern for pattern in patterns if pattern not in known]
    return found


@lru_cache(maxsize=1024)
def _id_of(key: str, text: str, session: str) -> str:
    """Return the id of a data unit that is named by id or URL; the units of a sweep often name the same."""
    if coordination_url.is_id("du", text):
        return text
    shown = coordination_url.redact(text)
    if text.startswith("local:"):
        raise DescriptionError(
            f"{key} names {shown}, which only the process that made it knows; make its PilotDataService with the "
            "coordination URL of the ComputeDataService, or after it",
            key=key,
            value=shown,
        )
    try:
        named = coordination_url.parse_object_url(text)
    except DescriptionError:
        named = None
    if named is None or named.kind != "du":
        raise DescriptionError(
            f"{key} names {shown!r}; a DataUnit, its url or its id is allowed (submit_data_unit() makes one of files)",
            key=key,
            value=shown,
        )
    if named.session != session:
        raise DescriptionError(
            f"{key} names data unit {named.id} of session {named.session}; the compute unit is submitted in session "
            f"{session}: make both with the same coordination URL and session",
            key=key,
            value=shown,
        )
    return named.id
