"""Finding the launcher of MPI programs in a unit's PATH, and finding out once which one it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pilot_agent.launch.families import BY_PROGRAM, FAMILIES, Family, family_of
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
        self._said: dict[str, str] = {}

    def find(self, wanted: str, environment: Mapping[str, str]) -> Launcher:
        """Return the first launcher of the family `wanted`, of any when that is "", that a unit can use.

        Args:
            wanted: Name of a family.
            environment: The unit's.

        Raises:
            StartError: There is none, or no family of that name.
        """
        families = [family for family in FAMILIES if _is_asked_for(family, wanted, environment)]
        if not families:
            names = ", ".join(("auto", *(family.name for family in FAMILIES)))
            raise StartError(
                f"there are no MPI launchers named {wanted!r}; agent_options.mpi_launcher: {names}"
            )
        programs = dict.fromkeys(program for family in families for program in family.programs)
        found = {path: program for program in programs if (path := self._path(program, environment))}
        for path, program in found.items():
            family = self._family_of(path, program, environment)
            if family in families:
                return Launcher(family, path)
        raise self._nothing(list(programs), found, environment)

    def _path(self, program: str, environment: Mapping[str, str]) -> str:
        try:
            return self._search.find(program, environment.get("PATH", os.defpath))
        except StartError:
            return ""

    def _family_of(self, path: str, program: str, environment: Mapping[str, str]) -> Family | None:
        if program in BY_PROGRAM:
            return BY_PROGRAM[program]
        if path not in self._said:
            self._said[path] = _version(path, environment)
        return family_of(self._said[path])

    def _nothing(
        self, programs: Iterable[str], found: Iterable[str], environment: Mapping[str, str]
    ) -> StartError:
        others = "".join(f"; {path} is another one ({_first_line(self._said[path])})" for path in found)
        return StartError(
            f"no MPI launcher found: looked for {', '.join(programs)} in PATH={environment.get('PATH', os.defpath)}"
            f"{others}; {ASK_FOR}"
        )


def _is_asked_for(family: Family, wanted: str, environment: Mapping[str, str]) -> bool:
    if wanted:
        return family.name == wanted
    return not family.needs or bool(environment.get(family.needs))


def _first_line(text: str) -> str:
    return (text.strip() or "it says nothing").splitlines()[0]


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
