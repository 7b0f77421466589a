"""Becomes a program that dies with the process that started it, and that signals to end the job do not reach.

A process between: what it sets up can only be set from inside, and stays when it becomes the program.
"""

from __future__ import annotations

import os
import sys

from pilot_agent.spawn.end_signals import ignore_end_signals
from pilot_agent.spawn.prctl import die_with_parent

BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from pilot_agent.spawn.tied import main; main()"
"""For ``python -I -S -c``; arguments: where pilot_agent is imported from, pid of the parent, the program's command line."""


def main() -> None:
    """Become the program; one that cannot be started is told on standard error."""
    parent, *command = sys.argv[1:]
    ignore_end_signals()
    os.setsid()
    try:
        die_with_parent()
    except OSError as error:
        sys.stderr.write(f"{command[0]} may outlive its agent: {error}\n")
    if os.getppid() != int(parent):  # it died before it was listened for
        return
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"{command[0]} cannot be started: {error.strerror}")
