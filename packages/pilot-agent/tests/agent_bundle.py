"""The agent as one zip file, as it is sent to machines that have nothing but a Python."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pilot_agent.__main__

_PACKAGES = ("pilot_agent", "pilot_protocol", "redis")
_SOMETIMES = ("async_timeout", "typing_extensions")
"""What redis-py needs on older Pythons."""


def write_bundle(path: Path) -> Path:
    """Write the zip file, with sources only; returns its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.write(pilot_agent.__main__.__file__, "__main__.py")
        for package in (*_PACKAGES, *_SOMETIMES):
            for name, file in _files(package):
                bundle.write(file, name)
    return path


def _files(package: str) -> Iterator[tuple[str, Path]]:
    spec = importlib.util.find_spec(package)
    if spec is None:
        assert package in _SOMETIMES
        return
    if spec.submodule_search_locations is None:
        assert spec.origin
        yield f"{package}.py", Path(spec.origin)
        return
    (folder,) = map(Path, spec.submodule_search_locations)
    for file in sorted(folder.rglob("*")):
        if file.suffix in {".py", ".lua"}:
            yield f"{package}/{file.relative_to(folder)}", file
