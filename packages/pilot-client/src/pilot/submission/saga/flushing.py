"""How radical.saga empties a shell before each command, made short, in the helper's worker process.

It waits 0.1 s for output that nobody has asked for: six times for one job of Slurm, ten and more for one connection. A
shell that has shown its own prompt says nothing by itself, so what is there already is all that there is to throw away.

The invariant: while a login is under way, where greetings come when they like, radical.saga's own pause stays.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

_ONE_LOOK = -1
"""The timeout by which radical.saga's shells return what is there, or nothing."""


def shorten_flushes(shells: Any, factories: Any) -> None:
    """Let shells and file copies throw away what is there and no more, once they are ready for commands.

    Args:
        shells: The module ``radical.saga.utils.pty_shell``.
        factories: The module ``radical.saga.utils.pty_shell_factory``.
    """
    shells.PTYShell.initialize = _then_flush_shell(shells.PTYShell.initialize)
    factories.PTYShellFactory.get_cp_slave = _then_flush_copy(factories.PTYShellFactory.get_cp_slave)


def _then_flush_shell(original: Callable[..., None]) -> Callable[..., None]:
    def initialize(shell: Any) -> None:
        original(shell)
        shell.pty_shell.flush = partial(_flush, shell.pty_shell)

    return initialize


def _then_flush_copy(original: Callable[..., Any]) -> Callable[..., Any]:
    def get_cp_slave(factory: Any, *more: Any, **named: Any) -> Any:
        slave = original(factory, *more, **named)
        slave.flush = partial(_flush, slave)
        return slave

    return get_cp_slave


def _flush(terminal: Any) -> None:
    with suppress(
        Exception
    ):  # of a shell that is gone: radical.saga looks for that next, and starts it again
        while terminal.read(timeout=_ONE_LOOK):
            continue
    terminal.cache = ""
