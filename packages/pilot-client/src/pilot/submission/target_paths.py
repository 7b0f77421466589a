"""Paths of a description as words for a shell on the target, which alone knows its variables and home directories.

``~``, ``~user``, ``$NAME`` and ``${NAME}`` are expanded there; everything else arrives as it is written. Pure.
"""

from __future__ import annotations

import re
import shlex

_HOME_OF = re.compile(r"~([A-Za-z_][A-Za-z0-9_.-]*)?(?=/|\Z)")
_VARIABLE = re.compile(r"\$(?:(?P<plain>[A-Za-z_][A-Za-z0-9_]*)|\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\})")


def shell_word(path: str) -> str:
    """Return a path as one word for a POSIX shell."""
    home = _HOME_OF.match(path)
    if home is None:
        return _expanding(path) or "''"
    start = f"~{home[1]}" if home[1] else '"$HOME"'
    rest = path[home.end() :]
    return f"{start}/{_expanding(rest[1:])}" if rest else start  # a quoted slash would end no user's name


def variables_in(path: str) -> list[str]:
    """Return the variables that a path needs, each once, in the order of their appearance."""
    home = _HOME_OF.match(path)
    own_home = ["HOME"] if home and not home[1] else []
    return list(dict.fromkeys([*own_home, *(_name(match) for match in _VARIABLE.finditer(path))]))


def _expanding(text: str) -> str:
    """Quote text for a shell, except for its variables."""
    parts = []
    end = 0
    for match in _VARIABLE.finditer(text):
        parts += [_quoted(text[end : match.start()]), f'"${{{_name(match)}}}"']
        end = match.end()
    return "".join([*parts, _quoted(text[end:])])


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""


def _name(match: re.Match[str]) -> str:
    return match["plain"] or match["braced"]
