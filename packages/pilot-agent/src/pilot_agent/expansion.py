"""Replacing `$NAME`, `${NAME}`, `$$` and a leading `~` in what a compute unit's description says. Pure.

An unset name stays as it is written, so a typing error is seen in the program's arguments instead of vanishing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Return `text` with `$NAME` and `${NAME}` replaced from `environment` and `$$` replaced by `$`."""
    if "$" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        if match[1]:
            return "$"
        return environment.get(match[2] or match[3], match[0])

    return _REFERENCE.sub(value, text)


def expand_path(path: str, environment: Mapping[str, str]) -> str:
    """Return `path` expanded like `expand`, and a leading `~` or `~/` replaced by the environment's HOME.

    `~` of another user and `~` without a HOME stay as written.
    """
    home = environment.get("HOME")
    if home and (path == "~" or path.startswith("~/")):
        return home.rstrip("/") + expand(path[1:], environment) or "/"
    return expand(path, environment)


def extend_environment(base: Mapping[str, str], overrides: Mapping[str, str]) -> dict[str, str]:
    """Return `base` with `overrides` applied in their order.

    Each value is expanded against what was built so far, so `{"PATH": "/opt/bin:$PATH"}` extends the base's PATH and a
    later entry sees an earlier one.
    """
    environment = dict(base)
    for name, value in overrides.items():
        environment[name] = expand(value, environment) if "$" in value else value
    return environment
