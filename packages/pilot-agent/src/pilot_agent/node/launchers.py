"""Finding the launcher of MPI programs in a unit's PATH, and finding out once which one it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from pilot_agent.launch.families import BY_NAME, FAMILIES, Family, family_of
from pilot_agent.spawn.failures import StartError
from pilot_agent.spawn.search import ProgramSearch

PROBE_S = 20.0
"""How long a launcher may take to tell its version; on a loaded file system that is not a matter of milliseconds."""

ASK_FOR = "load the MPI's module in the pilot's 'setup', extend PATH in the unit's 'environment', or set agent_options.mpi_launcher"


class Launcher(NamedTuple):
    """A launcher that was found."""

    family: Family
    path: str


class Launchers:
    """Looks launchers up; remembers what it found, since thousands of units use the same one."""

    def __init__(self, search: ProgramSearch) -> None:
        self._search = search
        self._families: dict[str, Family | None] = {}
        self._said: dict[str, str] = {}

    def find(self, wanted: str, environment: Mapping[str, str]) -> Launcher:
        """Return the first launcher of the family `wanted`, of any when that is "", that the unit can use.

        Raises:
            StartError: There is none, or no family of that name.
        """
        if wanted and wanted not in BY_NAME:
            names = ", ".join(BY_NAME)
            raise StartError(
                f"there is no MPI launcher named {wanted!r}; agent_options.mpi_launcher: {names}"
            )
        families = (
            [BY_NAME[wanted]]
            if wanted
            else [family for family in FAMILIES if not family.needs or environment.get(family.needs)]
        )
        for family in families:
            for program in family.programs:
                path = self._path(program, environment)
                if path and self._family_of(path, family, environment) is family:
                    return Launcher(family, path)
        raise self._nothing(wanted, families, environment)

    def _path(self, program: str, environment: Mapping[str, str]) -> str:
        try:
            return self._search.find(program, environment.get("PATH", os.defpath))
        except StartError:
            return ""

    def _family_of(self, path: str, expected: Family, environment: Mapping[str, str]) -> Family | None:
        if not expected.marks:
            return expected
        if path not in self._families:
            self._said[path] = _version(path, environment)
            self._families[path] = family_of(self._said[path])
        return self._families[path]

    def _nothing(self, wanted: str, families: list[Family], environment: Mapping[str, str]) -> StartError:
        programs = dict.fromkeys(program for family in families for program in family.programs)
        what = f"MPI launcher {wanted}" if wanted else "MPI launcher"
        others = "".join(
            f"; {path} is none: {self._said[path].strip().splitlines()[:1]}"
            for path in dict.fromkeys(self._path(program, environment) for program in programs)
            if path in self._said
        )
        return StartError(
            f"no {what} found: looked for {', '.join(programs)} in PATH={environment.get('PATH', os.defpath)}"
            f"{others}; {ASK_FOR}"
        )


def _version(path: str, environment: Mapping[str, str]) -> str:
    """Return what a launcher prints about itself, or why it does not."""
    import subprocess  # noqa: PLC0415 - most executors never start an MPI unit

    try:
        done = subprocess.run(
            [path, "--version"],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PROBE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return done.stdout.decode(errors="replace")
