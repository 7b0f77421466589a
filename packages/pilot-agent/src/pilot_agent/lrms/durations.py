"""How batch systems write times: as ``days-hours:minutes:seconds`` with parts left out, and as dates."""

from __future__ import annotations

import re
from datetime import datetime

_DURATION = re.compile(r"(?:(?P<days>\d+)-)?(?P<rest>\d+(?::\d+){0,3})(?:\.\d+)?")
_SECONDS_EACH = (1, 60, 3600, 86400)
_DATE = "%a %b %d %H:%M:%S %Y"


def seconds_of(text: str) -> float | None:
    """Return the seconds of ``2-03:04:05``, ``03:04:05``, ``04:05`` or ``5``; None for anything else, like UNLIMITED.

    With days, the last part may be missing, as Slurm has it: ``2-03`` is hours, ``2-03:04`` minutes.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        return None
    parts = [int(part) for part in match["rest"].split(":")]
    if match["days"]:
        parts = [int(match["days"]), *parts, *[0] * (3 - len(parts))]
    return float(sum(part * each for part, each in zip(reversed(parts), _SECONDS_EACH)))


def moment_of(text: str) -> float | None:
    """Return the seconds since 1970 of ``Sun Nov 22 16:44:36 2026``, this machine's time; None for anything else."""
    try:
        return datetime.strptime(" ".join(text.split()), _DATE).timestamp()  # noqa: DTZ007 - local by definition
    except ValueError:
        return None
