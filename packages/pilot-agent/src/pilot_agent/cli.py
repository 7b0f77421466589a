"""The agent's command line: one settings file, and which of the agent's processes to be."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from pilot_protocol.errors import PilotError, SubmissionError

from .config import AgentConfig, read_config
from .exit_codes import PILOT_ENDED, REFUSED
from .import_root import agent_command
from .lrms.allocation import tell_restart

logger = logging.getLogger(__name__)

_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the supervisor, or with ``--head`` the head that it starts; returns the exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, stream=sys.stderr)
    try:
        if _is_over(options.config):
            return PILOT_ENDED
        config = read_config(options.config)
        _make_sandbox(config.sandbox)
        return _run_head(config, options.started) if options.head else _supervise(config, options.started)
    except PilotError as error:
        print(f"pilot-agent: {error}", file=sys.stderr)  # noqa: T201 - a command line's last words
        return REFUSED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pilot-agent", description="Runs compute units on the cores that a pilot holds."
    )
    parser.add_argument(
        "--config", type=Path, required=True, help="settings file, readable by its owner alone"
    )
    parser.add_argument("--head", action="store_true", help="be the head; started by the supervisor")
    parser.add_argument(
        "--started",
        type=float,
        default=time.monotonic(),
        help="when the pilot's walltime began, in seconds of this machine's monotonic clock; now by default",
    )
    return parser


def _is_over(path: Path) -> bool:
    """Tell whether a batch system runs again what has ended in order; the first run has removed its settings."""
    if os.path.exists(path):
        return False
    from .lrms.detect import find_allocation  # noqa: PLC0415 - needed in this case only

    again = tell_restart(find_allocation(time.time()))
    if again:
        logger.warning(
            "pilot.over %sits pilot has ended: the first run removed %s",
            again,
            path,
            extra={"action": "pilot.over"},
        )
    return bool(again)


def _make_sandbox(sandbox: Path) -> None:
    try:
        sandbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SubmissionError(
            f"the pilot's sandbox {sandbox} cannot be made: {error.strerror}; "
            "give the pilot a working_directory in which you may write"
        ) from error


def _supervise(config: AgentConfig, started_s: float) -> int:
    from .supervisor import Supervisor  # noqa: PLC0415 - each process loads only what it is

    head = [*agent_command(), "--config", str(config.path), "--head"]
    try:
        return Supervisor([*head, "--started", str(started_s)], config.lifeline_fd).run()
    finally:
        config.path.unlink(missing_ok=True)  # secrets that nobody needs any more


def _run_head(config: AgentConfig, started_s: float) -> int:
    from .agent import run_head  # noqa: PLC0415 - redis and asyncio are the head's alone

    if config.lifeline_fd is not None:
        os.set_inheritable(config.lifeline_fd, False)
    return run_head(config, started_s)
