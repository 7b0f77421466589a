"""The common part of a batch of descriptions, and what each of them adds to it.

Payloads are the normalized ones that :mod:`pilot_protocol.compute_descriptions` returns, so values of one key that are
equal are also written alike. Invariant: ``merge(common, overrides(payload, common)) == payload`` for every payload of
the batch; a key that one payload lacks is therefore never part of the template.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def common_part(payloads: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the keys that have the same value in all payloads, with that value."""
    if not payloads:
        return {}
    common = dict(payloads[0])
    for payload in payloads:
        for key in _disagreements(common, payload):
            del common[key]
        if not common:
            break
    return common


def _disagreements(common: Mapping[str, Any], payload: Mapping[str, Any]) -> list[str]:
    return [key for key, value in common.items() if key not in payload or payload[key] != value]


def overrides(payload: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a payload says beyond, or other than, the common part.

    Raises:
        ValueError: The payload lacks a key of ``common``, which merging would give it.
    """
    if not common.keys() <= payload.keys():
        missing = ", ".join(sorted(common.keys() - payload.keys()))
        raise ValueError(f"a description without {missing} cannot be told by a template that has it")
    return {key: value for key, value in payload.items() if key not in common or common[key] != value}


def merge(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the payload of which ``own`` are the overrides; values of the common part are shared, not copied."""
    return {**common, **own}
