"""The program: its commands, and what errors mean for whoever called it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from pilot_data import __version__
from pilot_protocol.errors import PilotError

from .cp import cp
from .create import create
from .du import du
from .exit_codes import CLOSED_PIPE, INTERRUPTED, USAGE, exit_code_of
from .export import export
from .get import get
from .login import login
from .ls import ls
from .output import tell
from .put import put
from .rm import rm
from .serve import serve
from .sync import sync
from .verify import verify
from .watch import watch

COMMANDS = (put, get, cp, export, sync, watch, ls, du, verify, rm, create, serve, login)

EPILOG = """
Exit codes: 0 all done; 1 a file failed, is missing or differs; 2 wrong usage; 3 a storage or server cannot be reached, does not let
in, is busy or full; 130 Ctrl-C; 141 the output was closed; 143 terminated.
"""


class ClosedPipeError(Exception):
    """Nobody reads the output any more; click would take the error of the system for its own."""


class Program(click.Group):
    """The commands."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the arguments; shows help, if they ask for it."""
        try:
            return super().make_context(*args, **options)
        except BrokenPipeError:
            raise ClosedPipeError from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ClosedPipeError from None


@click.group(
    cls=Program,
    commands={command.name: command for command in COMMANDS if command.name},
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(version)s")
def program() -> None:
    """Copy, compare and remove files at local folders and remote storages.

    A place is a local path or a URL. In a URL, %20 stands for the byte of that number. Data units and Pilot-Data are named
    by their URLs, or by their ids.
    """


def main() -> None:
    """Run the program, and end this process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the program, and return its exit code; errors are told in one line each.

    Args:
        arguments: Without the program's name.
    """
    _show_all_characters()
    try:
        returned = program.main(arguments, "pilot-data", standalone_mode=False)
    except ClosedPipeError:
        return _closed_pipe()
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "pilot-data"
        tell(f"{error.format_message()} See {command} --help")
        return USAGE
    except PilotError as error:
        tell(str(error))
        return exit_code_of(error)
    return returned if isinstance(returned, int) else 0


def _show_all_characters() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a stream of somebody else's, as tests use
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def _closed_pipe() -> int:
    # What is left in the buffer would fail again when Python closes the stream.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return CLOSED_PIPE
