"""The agent in one file: a zip archive that any Python of the right age runs, on a target where nothing is installed.

It holds the agent, the protocol and redis-py as they are installed beside the client, so that both ends always fit
together. Where pilot-data is installed, too, what moves files for units comes along, in a folder of its own: the agent itself
starts without it. The invariant: the same content makes the same bytes, and a file under a bundle's name is that bundle, whole.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import re
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from pilot_protocol.errors import CoordinationError, SubmissionError
from pilot_session.private_files import make_private_directory, write_private

UNUSED_DAYS = 30
"""Bundles that nobody used for so long are removed, here and on targets."""

_CARRIED = {
    "pilot-agent": "pilot_agent",
    "pilot-protocol": "pilot_protocol",
    "redis": "redis",
    "async-timeout": "async_timeout",
}
"""Packages by distribution."""

_DATA = "data/"
"""Folder of what only the mover of files needs."""
_FOR_DATA = ("pilot_data", "pilot_session", "redis")
"""Packages there; the agent gets along with less of redis-py."""

_SUFFIXES = (".py", ".lua")

# The clients of redis-py are two thirds of it, and cost 0.2 s of compiling at a start from an archive, which keeps no
# byte code. The agent uses bare connections: those modules stay at home, and with them the two that import them all.
_LEFT_OUT = re.compile(
    r"redis/(commands|multidb|http|asyncio/multidb|asyncio/http)/.*"
    r"|redis/(asyncio/)?(client|cluster|sentinel|lock)\.py"
    r"|redis/(asyncio/)?__init__\.py"
    r"|pilot_protocol/testing/.*"
    r"|data/pilot_data/((testing|cli)/.*|__main__\.py)"
)
_REPLACED = dict.fromkeys(
    ("redis/__init__.py", "redis/asyncio/__init__.py"),
    b'"""Part of redis-py. In this bundle its modules are imported by their full names."""\n',
)

_SHEBANG = b"#!/usr/bin/env python3\n"
_MAIN = "pilot_agent/__main__.py"
"""What runs when an interpreter is given the file; Pythons that are too old can read it, and say so."""

_LEAST_PYTHON = re.compile(r">=\s*(\d+)\.(\d+)")
_LICENCE = re.compile(r"LICEN[CS]E|COPYING|NOTICE", re.IGNORECASE)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip archive can tell."""


@dataclass(frozen=True)
class Bundle:
    """An agent in one file.

    Attributes:
        path: The file, on this machine.
        digest: SHA-256 of its bytes, in hexadecimal.
        version: Of the agent.
        least_python: The oldest Python that everything in it runs on, as (major, minor).
    """

    path: Path
    digest: str
    version: str
    least_python: tuple[int, int]

    @property
    def name(self) -> str:
        """What it is called, here and on targets; another content has another name."""
        return _name(self.version, self.digest)


def build(folder: Path) -> Bundle:
    """Return the bundle of what is installed now; it is made unless it is there already.

    Args:
        folder: Where bundles are kept, usually :attr:`pilot.config.ClientConfig.bundles_dir`; made when absent.

    Raises:
        SubmissionError: A package to carry is not installed, or the folder cannot be written to.
    """
    distributions = {name: _distribution(name) for name in _CARRIED}
    data = _archive(_content(distributions, _found("pilot-data")))
    digest = hashlib.sha256(data).hexdigest()
    version = distributions["pilot-agent"].version
    least_python = max(map(_least_python, distributions.values()))
    bundle = Bundle(folder / _name(version, digest), digest, version, least_python)
    _keep(bundle.path, data)
    return bundle


def _name(version: str, digest: str) -> str:
    return f"agent-{version}-{digest[:12]}.pyz"


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError as error:
        raise SubmissionError(
            f"the agent cannot be sent to another place: {name} is not installed here; type: pip install {name}"
        ) from error


def _found(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def _least_python(distribution: metadata.Distribution) -> tuple[int, int]:
    found = _LEAST_PYTHON.search(distribution.metadata["Requires-Python"] or "")
    return (int(found[1]), int(found[2])) if found else (3, 0)


def _content(
    distributions: Mapping[str, metadata.Distribution], data: metadata.Distribution | None
) -> dict[str, bytes]:
    """Return all that goes into the archive, by name."""
    content = dict(_REPLACED)
    for name, distribution in distributions.items():
        content.update(_modules(_CARRIED[name]))
        content.update(_about(distribution))
    if data is not None:
        content.update(_about(data))
        for package in _FOR_DATA:
            content.update(_modules(package, _DATA))
    return {**content, "__main__.py": content[_MAIN]}


def _modules(package: str, below: str = "") -> Iterator[tuple[str, bytes]]:
    root = _folder_of(package)
    for folder, _, files in os.walk(root):
        for file in files:
            path = Path(folder, file)
            name = f"{below}{package}/{path.relative_to(root).as_posix()}"
            if name.endswith(_SUFFIXES) and not _LEFT_OUT.fullmatch(name):
                yield name, path.read_bytes()


def _folder_of(package: str) -> Path:
    """Return where a package lies, without importing it."""
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if Path(folder, "__init__.py").is_file():
            return Path(folder)
    raise SubmissionError(
        f"the agent cannot be sent to another place: the package {package} has no folder with its modules here; "
        "install pilot-client anew with pip"
    )


def _about(distribution: metadata.Distribution) -> Iterator[tuple[str, bytes]]:
    """Yield what says whose work a package is and on which terms: its metadata and its licences."""
    folder = f"{distribution.metadata['Name'].replace('-', '_')}-{distribution.version}.dist-info"
    yield f"{folder}/METADATA", str(distribution.read_text("METADATA") or distribution.metadata).encode()
    for path in distribution.files or ():
        if ".dist-info" in path.parts[0] and _LICENCE.match(path.name):
            yield f"{folder}/licenses/{path.name}", path.read_binary()


def _archive(content: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    out.write(_SHEBANG)
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content[name])
    return out.getvalue()


def _keep(path: Path, data: bytes) -> None:
    """Have a file with this content; two processes may do so at once, as each puts a whole file in place."""
    try:
        make_private_directory(path.parent)
        if _is_there(path, data):
            os.utime(path)
            return
        write_private(path, data)
        _remove_unused(path.parent)
    except (CoordinationError, OSError) as error:
        raise SubmissionError(
            f"the agent's file {path} cannot be kept: {error}; set XDG_CACHE_HOME to a folder that you can write to"
        ) from error


def _is_there(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except FileNotFoundError:
        return False


def _remove_unused(folder: Path) -> None:
    before = time.time() - UNUSED_DAYS * 86_400
    for path in folder.glob("agent-*.pyz"):
        with suppress(FileNotFoundError):  # another process was first
            if path.stat().st_mtime < before:
                path.unlink()
