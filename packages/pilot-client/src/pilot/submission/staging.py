"""What a pilot needs on a place before its job is queued: its sandbox, the agent's bundle, its settings, its job script.

Two commands do it: one that prepares, one that uploads; the bundle goes along when the place has not got it. The invariant:
a file under its name is whole, belongs to the user alone, and secrets went in through standard input.
"""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilot.agent_bundle import UNUSED_DAYS, Bundle
from pilot_protocol.errors import SubmissionError

from . import agent_settings, job_script, staging_commands
from .base import PilotOrder
from .place import Output, Place
from .staging_commands import Delivery, Target, facts_in

logger = logging.getLogger(__name__)

SHELL = "/bin/sh"
SCRIPT_FILE = "job.sh"
OUTPUT_FILE = "agent.out"
ERROR_FILE = "agent.err"
UPLOAD_LIMIT_S = 600.0
"""A bundle of 300 KiB over the slowest of lines."""

_REASONS = (
    (r"disk full: .*", "", "free some space, or give a working_directory on another file system"),
    (r"No space left on device", "disk full", "free some space, or give a working_directory elsewhere"),
    (r"Disk quota exceeded", "your quota is used up", "remove files, or give a working_directory elsewhere"),
    (r"Permission denied", "permission denied", "give a working_directory that you may write to"),
    (r"Read-only file system", "read-only file system", "give a working_directory on another one"),
    (r"Not a directory|File exists", "not a directory", "give the path of a folder, or of none yet"),
    (r"the upload was cut off", "", "submit the pilot again"),
)
"""What the core utilities say, in words of ours (or theirs, where empty), and what to do."""


@dataclass(frozen=True)
class Staged:
    """What was put on a place. All paths are absolute, and those of the target.

    Attributes:
        sandbox: The pilot's folder.
        bundle: The agent in one file.
        settings: What the agent is told; with secrets.
        script: The job.
        output: File for its standard output; not made here.
        error: File for its standard error; not made here.
    """

    sandbox: str
    bundle: str
    settings: str
    script: str
    output: str
    error: str


def stage(place: Place, order: PilotOrder, bundle: Bundle, more: Mapping[str, Any]) -> Staged:
    """Put on a place what a pilot needs.

    Args:
        place: The target.
        order: The pilot. ``~`` and ``$NAME`` in its working directory are expanded on the target; a relative one lies
            below the home directory there.
        bundle: The agent.
        more: Settings of the agent that only the way of submission knows, like ``cores``.

    Raises:
        SubmissionError: The place is not reached, or a folder there cannot be used: the message names it and says why.
            Nothing is left of the pilot then, as far as the place was still reached.
    """
    data = _read(bundle)
    sums = staging_commands.checksums(data)
    facts = _prepare(place, order, bundle, sums, len(data))
    staged = _staged(facts)
    try:
        missing = b"" if facts["there"] == "yes" else data
        delivery = Delivery(
            agent_settings.settings_of(order, staged.sandbox, more), _script(order, bundle, staged), missing
        )
        tool = facts["tool"]
        _deliver(place, _target(order, staged, tool, sums[tool]), delivery)
    except BaseException:
        _clear(place, staged)
        raise
    return staged


def unstage(place: Place, staged: Staged) -> None:
    """Remove a pilot's secrets from a place, and its sandbox when nothing of value is in it. Twice does no harm.

    Raises:
        SubmissionError: The place is not reached, or the secrets cannot be removed.
    """
    names = agent_settings.FILE, SCRIPT_FILE
    program = staging_commands.unstage_program(staged.sandbox, *names, [OUTPUT_FILE, ERROR_FILE])
    done = place.run(SHELL, given=_bytes(program))
    if done.code != 0:
        raise SubmissionError(
            f"the settings {staged.settings}, which hold secrets, cannot be removed on {place.name}: "
            f"{done.err.strip()}; remove them yourself"
        )


def read_tail(place: Place, path: str, limit_bytes: int) -> str:
    """Return the end of a file on a place; empty when it is not there.

    Raises:
        SubmissionError: The place is not reached.
    """
    done = place.run(f"tail -c {limit_bytes} {shlex.quote(path)}")
    return done.text if done.code == 0 else ""


def _read(bundle: Bundle) -> bytes:
    try:
        data = bundle.path.read_bytes()
    except OSError as error:
        raise SubmissionError(f"the agent's file {bundle.path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != bundle.digest:
        raise SubmissionError(
            f"the agent's file {bundle.path} is no longer what it was; submit the pilot again"
        )
    return data


def _prepare(
    place: Place, order: PilotOrder, bundle: Bundle, sums: Mapping[str, str], size: int
) -> dict[str, str]:
    program = staging_commands.prepare_program(
        order.pilot, order.spec.working_directory, bundle.name, sums, size, UNUSED_DAYS
    )
    done = place.run(SHELL, given=_bytes(program))
    facts = facts_in(done.text)
    if done.code != 0 or "there" not in facts:
        folder = facts.get("folder", order.spec.working_directory)
        raise _refused(place, folder, done)
    return facts


def _staged(facts: Mapping[str, str]) -> Staged:
    sandbox = facts["sandbox"]
    names = (agent_settings.FILE, SCRIPT_FILE, OUTPUT_FILE, ERROR_FILE)
    return Staged(sandbox, facts["bundle"], *(f"{sandbox}/{name}" for name in names))


def _target(order: PilotOrder, staged: Staged, tool: str, checksum: str) -> Target:
    beside = f"{staged.bundle.rpartition('/')[0]}/.agent-{order.pilot}"
    return Target(staged.sandbox, staged.settings, staged.script, staged.bundle, beside, tool, checksum)


def _script(order: PilotOrder, bundle: Bundle, staged: Staged) -> bytes:
    spec = order.spec
    facts = job_script.ScriptFacts(
        pilot=order.pilot,
        version=bundle.version,
        bundle=staged.bundle,
        settings=staged.settings,
        least_python=bundle.least_python,
        environment=spec.environment,
        setup=spec.setup,
        python=spec.python,
    )
    return _bytes(job_script.render(facts))


def _deliver(place: Place, target: Target, delivery: Delivery) -> None:
    command = staging_commands.delivery_command(target, delivery)
    done = place.run(command, given=delivery.data, limit_s=UPLOAD_LIMIT_S)
    if done.code == 0:
        return
    failed = facts_in(done.text).get("failed", "")
    folder = target.bundle.rpartition("/")[0] if failed.startswith("bundle") else target.sandbox
    raise _refused(place, folder, done)


def _clear(place: Place, staged: Staged) -> None:
    try:
        unstage(place, staged)
    except SubmissionError as error:
        logger.warning("staging.left %s", error, extra={"action": "staging.left"})


def _refused(place: Place, folder: str, done: Output) -> SubmissionError:
    what, _, told = facts_in(done.text).get("failed", "").partition(" ")
    if what == "variable":
        return SubmissionError(
            f"the working directory {folder} names {told}, which is not set on {place.name}; write the path out"
        )
    if what == "user":
        return SubmissionError(f"the working directory {folder}: there is no {told} on {place.name}")
    if what == "tool":
        return SubmissionError(f"{place.name} has neither sha256sum nor cksum; install its core utilities")
    if what == "place":
        return SubmissionError(
            f"no folder on {place.name} takes the agent's file: {told}; "
            "make room there, or give a working_directory that you may write to and that has room"
        )
    reason, advice = _in_words(told or done.err or f"exit code {done.code}")
    return SubmissionError(f"the folder {folder} cannot be used on {place.name}: {reason}; {advice}")


def _in_words(said: str) -> tuple[str, str]:
    """Return a reason and what to do about it."""
    for pattern, words, advice in _REASONS:
        found = re.search(pattern, said)
        if found:
            return words or found[0], advice
    return said.strip().splitlines()[-1], "give another working_directory"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
