"""What the commands of all stand-ins have in common: how they find the cluster, read options, and give up.

The invariant: a command whose servers are down says so in the batch system's words and changes nothing.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from .cluster import FOLDER, Cluster, Settings
from .systems import SYSTEMS


def main(command: str) -> None:
    """Run a command of the batch system whose cluster the environment names."""
    cluster = Cluster(Path(os.environ[FOLDER]))
    with (cluster.folder / "calls").open("a") as calls:
        calls.write(" ".join([command, *sys.argv[1:]]) + "\n")
    module = importlib.import_module(f"fake_batch.{SYSTEMS[cluster.settings.system].module}")
    module.COMMANDS[command](cluster, sys.argv[1:])


def give_up(text: str, code: int = 1) -> NoReturn:
    """Say why on standard error, and end."""
    print(text, file=sys.stderr)
    raise SystemExit(code)


def options(arguments: Sequence[str], valued: Collection[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Take a command line apart.

    Args:
        arguments: The words.
        valued: The options that have a value.

    Returns:
        The values of each option, by its name with the dashes, and the other words.
    """
    found: dict[str, list[str]] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word.startswith("-") and len(word) > 1:
            found.setdefault(word, []).append(next(words, "") if word in valued else "")
        else:
            rest.append(word)
    return found, rest


def directives(script: str, prefix: str) -> list[str]:
    """Return what stands behind a prefix at the beginning of lines."""
    return re.findall(rf"^{re.escape(prefix)}[ \t]*(.*?)[ \t]*$", script, re.MULTILINE)


def minutes(clock: str) -> float:
    """Read ``minutes``, ``hours:minutes`` or ``hours:minutes:seconds``.

    Raises:
        ValueError: It is nothing of that.
    """
    parts = [float(part) for part in clock.split(":")]
    if len(parts) == 1:
        return parts[0]
    hours, rest, *seconds = parts
    return hours * 60 + rest + (seconds[0] / 60 if seconds else 0)


def shell_of(script: str, default: str) -> list[str]:
    """Return the interpreter that the first line of a script names."""
    first = script.lstrip("\n").split("\n", 1)[0]
    return first[2:].split() if first.startswith("#!") else [default]


def default_queue(settings: Settings) -> str:
    """Return the queue of those who name none."""
    return next(iter(settings.queues))


def check(settings: Settings, asked: tuple[str, float, str], refusals: Mapping[str, tuple[str, int]]) -> None:
    """Refuse a job that the cluster does not take.

    Args:
        settings: The cluster.
        asked: Its queue, walltime in minutes and project.
        refusals: What to say, and the exit code, for ``queue``, ``walltime`` and ``project``.
    """
    queue, walltime, project = asked
    if queue not in settings.queues:
        give_up(*refusals["queue"])
    if walltime > settings.queues[queue]:
        give_up(*refusals["walltime"])
    if settings.projects and project not in settings.projects:
        give_up(*refusals["project"])
