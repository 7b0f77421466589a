"""Which files of data units a compute unit gets, and whether they go together. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pilot_data.errors import MissingFileError
from pilot_data.patterns import matches
from pilot_data.plan import folders_above
from pilot_protocol.data_records import FileRecord
from pilot_protocol.errors import DescriptionError

ALL = "*"
SHOWN = 10
"""How many names an error lists."""


def is_meant(pattern: str, path: str) -> bool:
    """Return whether a pattern means a path: by name, or as `patterns.matches` reads it."""
    return pattern == path or matches(pattern, path)


def chosen(data_unit: str, files: Sequence[FileRecord], patterns: Iterable[str]) -> list[FileRecord]:
    """Return the files of a data unit that patterns mean, each once; ``*`` means all of them.

    Raises:
        MissingFileError: A pattern means none.
    """
    found: dict[str, FileRecord] = {}
    for pattern in patterns:
        meant = [file for file in files if pattern == ALL or is_meant(pattern, file.path)]
        if not meant:
            raise MissingFileError(
                f"no file of data unit {data_unit} matches {pattern!r}; it has "
                f"{listed(file.path for file in files)}"
            )
        found.update((file.path, file) for file in meant)
    return list(found.values())


def with_led_to(files: Sequence[FileRecord], wanted: Sequence[FileRecord]) -> list[FileRecord]:
    """Return files, and those of the same data unit that links among them lead to.

    Args:
        files: All of the data unit.
        wanted: Some of them.
    """
    if not any(file.link for file in wanted):
        return list(wanted)
    known = {file.path: file for file in files}
    found = {file.path: file for file in wanted}
    left = list(wanted)
    while left:
        fresh = [file for file in _led_to(left.pop(), known) if file.path not in found]
        found.update((file.path, file) for file in fresh)
        left += fresh
    return list(found.values())


def _led_to(file: FileRecord, known: Mapping[str, FileRecord]) -> Iterator[FileRecord]:
    if not file.link or file.link.startswith("/"):
        return
    end = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), file.link))
    if end in known:
        yield known[end]
        return
    yield from (other for path, other in known.items() if path.startswith(f"{end}/"))


def check_apart(inputs: Mapping[str, Sequence[FileRecord]]) -> None:
    """Check that files of several data units can be in one folder.

    Args:
        inputs: By data unit.

    Raises:
        DescriptionError: Two have the same name, or one is in a folder that has the name of another.
    """
    owners: dict[str, str] = {}
    for data_unit, files in inputs.items():
        for file in files:
            other = owners.setdefault(file.path, data_unit)
            if other != data_unit and not file.is_folder:
                raise _clash(file.path, other, file.path, data_unit)
    plain = {file.path for files in inputs.values() for file in files if not file.is_folder}
    for path, data_unit in owners.items():
        for folder in folders_above(path):
            if folder in plain:
                raise _clash(folder, owners[folder], path, data_unit)


def _clash(path: str, data_unit: str, other_path: str, other: str) -> DescriptionError:
    return DescriptionError(
        f"two inputs cannot be in one folder: {path!r} of data unit {data_unit} and {other_path!r} of {other}; name "
        "patterns that leave one of them out, or rename one",
        key="input_data",
        value=path,
    )


def listed(names: Iterable[str]) -> str:
    """Return names as an error shows them."""
    every = sorted(names)
    more = f" and {len(every) - SHOWN} more" if len(every) > SHOWN else ""
    return ", ".join(map(repr, every[:SHOWN])) + more if every else "none"
