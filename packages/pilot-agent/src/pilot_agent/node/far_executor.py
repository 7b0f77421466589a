"""The executor of a node that is not the head's: reads the pilot's settings, dials the head, and then is as any other.

    python -m pilot_agent.node.far_executor '{"settings": "/…/agent.json", "heads": ["10.0.0.1:4711"], "guard": 5}'

What keeps a node out is said in one line on standard error, which the head shows to the user.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pilot_agent.lrms.gpus import gpus_of
from pilot_agent.lrms.machine import this_machine
from pilot_agent.node.dialing import Call, UnreachableError, dial
from pilot_agent.node.executor import Executor, Options, serve
from pilot_agent.node.exits import CANNOT, LINK_LOST, TOLD
from pilot_agent.node.frames import PROTOCOL
from pilot_agent.node.handshake import link_key
from pilot_agent.node.link import HeadLink
from pilot_agent.node.surroundings import arrange_descriptors, say, unit_environment_of_node
from pilot_agent.settings_file import read_private

_PATIENCE_S = 60.0
_SHARE = "the pilot's working_directory must be on a file system that all of its nodes share"


class Posting(NamedTuple):
    """What the warden tells an executor when it starts it."""

    settings: str
    """Path of the agent's settings."""
    heads: Sequence[str]
    """Addresses of the head."""
    guard: int
    """Descriptor whose end means that the warden is gone."""
    name: str = ""
    """What the batch system calls this node; empty where one command has started all nodes."""


class CannotServeError(Exception):
    """This node is of no use to the pilot."""


def main() -> None:
    """Run as a process, with the posting as JSON in the only argument."""
    posting = Posting(**json.loads(sys.argv[1]))
    arrange_descriptors()
    try:
        call = _report(posting)
        welcome = call.hear()
    except (CannotServeError, UnreachableError) as error:
        say(f"node {posting.name or socket.gethostname()}: {error}")
        sys.exit(CANNOT)
    if welcome == ["stop"]:
        sys.exit(TOLD)
    sys.exit(TOLD if _serve(call, posting.guard, welcome[1]) else LINK_LOST)


def _report(posting: Posting) -> Call:
    """Call the head and tell it what this node is."""
    settings = _settings(posting.settings)
    key = link_key(bytes.fromhex(settings["key"]), settings["pilot"])
    patience_s = (settings.get("options") or {}).get("node_patience_s") or _PATIENCE_S
    call = dial(posting.heads, key, float(patience_s))
    call.say(["hello", {"pid": os.getpid(), "protocol": PROTOCOL, **_facts(posting.name)}])
    return call


def _settings(path: str) -> dict[str, Any]:
    try:
        settings = read_private(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotServeError(f"the pilot's settings {path} {why}; {_SHARE}") from error
    if not os.path.isdir(settings["sandbox"]):
        raise CannotServeError(f"the pilot's sandbox {settings['sandbox']} is not here; {_SHARE}")
    return settings


def _facts(name: str) -> Mapping[str, Any]:
    """Return what a head wants to know of a node: what it is called, what is there."""
    machine = this_machine()
    names = (name, os.environ.get("SLURMD_NODENAME", ""), machine.name)
    return {
        "names": [each for each in names if each],
        "cpus": machine.cpus,
        "cores": machine.limits.cores,
        "memory_mb": machine.limits.memory_mb,
        "gpus": gpus_of(os.environ),
    }


def _serve(call: Call, guard: int, welcome: Mapping[str, Any]) -> bool:
    environment = unit_environment_of_node(os.environ, welcome["environment"])
    options = Options(welcome["sandbox"], welcome["executor"], welcome["journal"], guard=guard)
    return serve(Executor(options, HeadLink(call.connection.fileno(), call.framing), environment))


if __name__ == "__main__":
    main()
