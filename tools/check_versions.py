"""Keeps one version in all packages: their pyproject.toml, the pins among them, `__version__`, the change log."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomli

ROOT = Path(__file__).resolve().parent.parent

NAME = re.compile(r"[A-Za-z0-9._-]+")
VERSION_LITERAL = re.compile(r"^__version__\s*=\s*[\"'](?P<version>[^\"']*)[\"']", re.MULTILINE)


def read_projects(root: Path) -> dict[str, dict[str, Any]]:
    """Return the `[project]` table of each package by the package's name."""
    tables = [
        tomli.loads(path.read_text(encoding="utf-8"))["project"]
        for path in sorted(root.glob("packages/*/pyproject.toml"))
    ]
    return {table["name"]: table for table in tables}


def disagreements(root: Path) -> Iterator[str]:
    """Yield a message for each place that names another version than the rest."""
    projects = read_projects(root)
    versions = {name: table["version"] for name, table in projects.items()}
    if len(set(versions.values())) != 1:
        yield f"the packages must have one version, they have {versions}"
        return
    version = next(iter(versions.values()))
    for name, table in projects.items():
        yield from _loose_pins(name, table, versions)
    for path in sorted(root.glob("packages/*/src/**/*.py")):
        for match in VERSION_LITERAL.finditer(path.read_text(encoding="utf-8")):
            if match["version"] != version:
                yield f"{path.relative_to(root)}: __version__ is {match['version']}, the packages have {version}"
    if f"\n## [{version}]" not in (root / "CHANGELOG.md").read_text(encoding="utf-8"):
        yield f"CHANGELOG.md has no section for {version}"


def _loose_pins(name: str, table: dict[str, Any], versions: dict[str, str]) -> Iterator[str]:
    extras = table.get("optional-dependencies", {}).values()
    for requirement in (*table.get("dependencies", []), *(line for extra in extras for line in extra)):
        match = NAME.match(requirement)
        needed = match[0] if match else requirement
        if needed in versions and requirement != f"{needed}=={versions[needed]}":
            yield f"{name} must require {needed}=={versions[needed]}, it requires {requirement!r}"


def main() -> int:
    """Print the disagreements; exit code 1 when there are some."""
    found = list(disagreements(ROOT))
    print("\n".join(found) or "versions: all packages and pins agree")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
