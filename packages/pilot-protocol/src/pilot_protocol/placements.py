"""Where a unit with input data goes, and why: what the scripts decided, as they wrote it down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .errors import ProtocolError


class PlacementKind:
    """What a unit's data has to do with where the unit goes."""

    THERE: Final = "there"  # all of it is near the site
    COPY: Final = "copy"  # the unit waits until replicas near the site are there
    COPIED: Final = "copied"  # it has waited for them
    STRAIGHT: Final = (
        "straight"  # its agent fetches what is not near, since nothing near the site can hold it
    )
    NOWHERE: Final = "nowhere"  # no living pilot could take it


_KINDS = frozenset(
    {
        PlacementKind.THERE,
        PlacementKind.COPY,
        PlacementKind.COPIED,
        PlacementKind.STRAIGHT,
        PlacementKind.NOWHERE,
    }
)


@dataclass(frozen=True)
class Placement:
    """One decision."""

    kind: str
    """One of :class:`PlacementKind`."""
    site: str = ""
    """Label of the pilots that it was placed for, as :func:`~pilot_protocol.keys.label_of` makes it."""
    bytes: int = 0
    """Bytes that were neither near the site nor on their way there when the decision was made."""
    copies: tuple[tuple[str, str], ...] = ()
    """Replicas near the site that it waits for, or has waited for: data unit and Pilot-Data."""
    costs: dict[str, float] = field(default_factory=dict)
    """Estimated seconds until it runs, by the site's label; the cheapest sites, the cheapest first."""


def read_placement(record: bytes) -> Placement:
    """Read a record: ``kind|site|bytes|data unit@Pilot-Data …|label:seconds …``.

    Raises:
        ProtocolError: It has another shape.
    """
    parts = record.decode("utf-8", "replace").split("|")
    if len(parts) != 5 or parts[0] not in _KINDS or not parts[2].isdecimal():
        raise ProtocolError(f"a placement cannot be read: {record[:80]!r}")
    kind, site, size, copies, costs = parts
    pairs = [_split(copy, "@") for copy in copies.split()]
    try:
        seconds = {label: float(cost) for label, cost in (_split(entry, ":") for entry in costs.split())}
    except ValueError as error:
        raise ProtocolError(f"a placement cannot be read: {record[:80]!r}") from error
    return Placement(kind, site, int(size), tuple(pairs), seconds)


def _split(text: str, separator: str) -> tuple[str, str]:
    before, _, after = text.rpartition(separator)
    return before, after
