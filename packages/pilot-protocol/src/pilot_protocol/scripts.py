"""The Lua scripts: their text, their digest, and which of them Redis must run even when its memory is full.

Each file in ``lua/`` is one atomic operation; the parts in ``lua/prelude/`` are put before all of them. They are read
wherever the package was imported from, be it a zip file.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_FOLDER = files("pilot_protocol") / "lua"

_PRELUDE = (
    "session", "units", "pilots", "queues", "dependencies", "data", "placing", "inputs", "conclusions", "endings",
)  # fmt: skip

NAMES = tuple(sorted(file.name[:-4] for file in _FOLDER.iterdir() if file.name.endswith(".lua")))
"""Every script's name."""

_MAY_BE_REFUSED = frozenset(
    {"open_session", "create_pilot", "submit_units", "claim_units", "attach_service", "declare_pilot_data",
     "declare_data_unit", "put_files", "ask_replica"}
)  # fmt: skip
"""Scripts that bring new work: a full server refuses these, never results, heartbeats and orders to stop."""

_FLAGS = "#!lua flags=allow-oom\n"
_FLAGS_SINCE = (7, 0)
# An older server lets a script go on, however full it is, once it has written: this writes nothing.
_FIRST_WRITE = "redis.call('UNLINK', KEYS[1])\n"


@dataclass(frozen=True)
class Script:
    """One script as a server of some version takes it."""

    name: str
    source: str
    digest: str
    """SHA-1 of the source in hexadecimal, as EVALSHA wants it."""


@cache
def prelude() -> str:
    """Return what is put before all scripts."""
    return "".join((_FOLDER / "prelude" / f"{part}.lua").read_text("utf-8") for part in _PRELUDE)


@cache
def script(name: str, *, flags: bool) -> Script:
    """Return a script.

    Args:
        name: One of :data:`NAMES`.
        flags: Whether the server knows script flags, see :func:`knows_flags`.
    """
    source = prelude() + (_FOLDER / f"{name}.lua").read_text("utf-8")
    if name not in _MAY_BE_REFUSED:
        source = (_FLAGS if flags else _FIRST_WRITE) + source
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


def knows_flags(redis_version: str) -> bool:
    """Tell whether a server of this version knows script flags (Redis ≥ 7.0; every Valkey says 7.2 or more)."""
    numbers = tuple(int(part) for part in redis_version.split(".")[:2] if part.isdigit())
    return numbers >= _FLAGS_SINCE
