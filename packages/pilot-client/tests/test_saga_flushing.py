"""radical.saga's shells, once they are ready, throw away what is there and do not wait for more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pilot.submission.saga.flushing import shorten_flushes


class Terminal:
    """A terminal of radical.saga, with something to read."""

    def __init__(self) -> None:
        self.unread = ["PROMPT-0->", "a greeting"]
        self.cache = "half a line"
        self.timeouts: list[float] = []

    def flush(self) -> None:
        """What radical.saga does."""
        self.read(timeout=0.1)

    def read(self, timeout: float) -> str:
        """Return what came."""
        self.timeouts.append(timeout)
        return self.unread.pop() if self.unread else ""


class Shell:
    """A shell of radical.saga."""

    def __init__(self, terminal: Terminal) -> None:
        self.pty_shell = terminal

    def initialize(self) -> None:
        """Log in."""
        self.pty_shell.flush()


@pytest.fixture
def modules() -> tuple[Any, Any]:
    """The modules, of which the classes are new ones."""

    class NewShell(Shell):
        """As it was."""

    class Factory:
        """A factory of terminals for copies."""

        def get_cp_slave(self, command: str) -> Terminal:
            """Return a terminal in which a command runs."""
            assert command == "sftp"
            return Terminal()

    modules = SimpleNamespace(PTYShell=NewShell), SimpleNamespace(PTYShellFactory=Factory)
    shorten_flushes(*modules)
    return modules


def test_a_shell_waits_during_its_login_only(modules: tuple[Any, Any]) -> None:
    terminal = Terminal()
    modules[0].PTYShell(terminal).initialize()
    assert terminal.timeouts == [0.1]
    terminal.flush()
    assert terminal.timeouts == [0.1, -1, -1]
    assert (terminal.unread, terminal.cache) == ([], "")


def test_copies_do_not_wait_either(modules: tuple[Any, Any]) -> None:
    terminal = modules[1].PTYShellFactory().get_cp_slave("sftp")
    terminal.flush()
    assert set(terminal.timeouts) == {-1}


def test_a_shell_that_is_gone_is_left_to_radical_saga(modules: tuple[Any, Any]) -> None:
    terminal = modules[1].PTYShellFactory().get_cp_slave("sftp")

    def fail(timeout: float) -> str:
        raise OSError(5, f"read error, {timeout}")

    terminal.read = fail
    terminal.flush()
    assert terminal.cache == ""
