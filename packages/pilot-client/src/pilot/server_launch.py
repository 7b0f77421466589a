"""Getting an embedded server to serve: the program that can, on a port that is free.

Each attempt has its own directory, unless the user named one, and its own keeper, which tidies up after an attempt that
failed. The password is made here and goes into the configuration file alone, never into an argument.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pilot_protocol.errors import CoordinationError

from . import server_directory, server_keeper
from .config import ClientConfig
from .server_binary import ServerBinary
from .server_directory import ServerDirectory, ServerRecord

LOOPBACK = "127.0.0.1"
OLDEST_VERSION = (6, 2)
PASSWORD_BYTES = 32
PORTS_TRIED = 5
START_LIMIT_S = 120.0
"""How long a server may take to load the data of an earlier one."""

_PORT_TAKEN = "Address already in use"


class ServerStartError(CoordinationError):
    """A server program does not serve.

    Attributes:
        program: The program and where it is from.
        log: The last lines of its log, or what else speaks against it.
    """

    transient = False

    def __init__(self, program: str, log: str) -> None:
        super().__init__(
            f"the Redis server {program} does not serve an embedded one; it said last:\n{log.rstrip()}"
        )
        self.program = program
        self.log = log


@dataclass(frozen=True)
class Wish:
    """What the application asks for.

    Attributes:
        directory: Where the server is to run; None for a fresh directory.
        config: Says where fresh ones may lie.
        stay: The server is to outlive the application.
    """

    directory: Path | None
    config: ClientConfig
    stay: bool


@dataclass(frozen=True)
class KeptServer:
    """A server that serves, in the care of its keeper.

    Attributes:
        place: Its directory.
        record: What runs there.
        password: For its default user.
        lifeline: The server ends with this connection, see `let_go`.
    """

    place: ServerDirectory
    record: ServerRecord
    password: str = field(repr=False)
    lifeline: socket.socket

    def let_go(self) -> None:
        """Make the server independent of this application."""
        self.lifeline.sendall(server_keeper.STAY)
        self.lifeline.close()


def first_that_serves(
    wish: Wish, programs: Iterable[ServerBinary], ports: tuple[int, ...] = ()
) -> KeptServer:
    """Start a server with the first program that can.

    Args:
        wish: What is asked for.
        programs: Best first.
        ports: TCP ports to try in this order; free ones when empty.

    Raises:
        CoordinationError: None of the programs serves; the message says why, for each.
    """
    refusals: list[str] = []
    for program in programs:
        try:
            return _on_a_free_port(wish, program, ports or tuple(islice(_free_ports(), PORTS_TRIED)))
        except ServerStartError as error:
            refusals.append(str(error))
    raise CoordinationError("\n".join(refusals), transient=False)


def _on_a_free_port(wish: Wish, program: ServerBinary, ports: tuple[int, ...]) -> KeptServer:
    for port in ports[:-1]:
        try:
            return _launch(wish, program, port)
        except ServerStartError as error:
            if _PORT_TAKEN not in error.log:
                raise
    return _launch(wish, program, ports[-1])


def _free_ports() -> Iterator[int]:
    """Yield ports that nobody uses just now; another program may be quicker to take them."""
    while True:
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        yield port


def _launch(wish: Wish, program: ServerBinary, port: int) -> KeptServer:
    place = server_directory.prepare(wish.directory, wish.config, stay=wish.stay)
    password = os.urandom(PASSWORD_BYTES).hex()
    with ExitStack() as undo:
        undo.callback(place.discard)
        with server_directory.locked(place) as lock:
            server_directory.write_config(place, port, password)
            lifeline = _start_keeper(place, program, lock)
        undo.pop_all()  # from here on the keeper tidies up
        undo.callback(lifeline.close)
        keeper_pid, server_pid, version = _read_report(lifeline, program, password)
        record = ServerRecord(
            keeper_pid=int(keeper_pid),
            keeper_started=server_directory.started(int(keeper_pid)),
            server_pid=int(server_pid),
            server_started=server_directory.started(int(server_pid)),
            port=port,
            sockets=str(place.sockets),
            program=str(program.path),
            version=version,
            stay=wish.stay,
        )
        server_directory.write_record(place, record)
        undo.pop_all()
    return KeptServer(place, record, password, lifeline)


def _start_keeper(place: ServerDirectory, program: ServerBinary, lock: int) -> socket.socket:
    lifeline, far_end = socket.socketpair()
    end = "remove" if place.temporary else "keep"
    try:
        subprocess.run(  # returns at once: the keeper is a child of what is run here
            [
                *(sys.executable, "-I", "-S", server_keeper.__file__),
                *(str(program.path), str(place.path), str(place.sockets), end, str(lock)),
            ],
            check=True,
            stdin=far_end.fileno(),
            stdout=far_end.fileno(),
            stderr=far_end.fileno(),
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the application, which cancels its pilots first
            pass_fds=(lock,),
        )
    except (OSError, subprocess.CalledProcessError) as error:
        lifeline.close()
        raise CoordinationError(f"the keeper of an embedded server cannot be started: {error}") from error
    finally:
        far_end.close()
    return lifeline


def _read_report(lifeline: socket.socket, program: ServerBinary, password: str) -> list[str]:
    """Return what the keeper says of a server that serves: its own pid, the server's pid, the version."""
    lifeline.settimeout(START_LIMIT_S)
    said = b""
    try:
        while not (said.startswith(b"ready ") and said.endswith(b"\n")):
            said += (text := lifeline.recv(1 << 16))
            if not text:  # the keeper has tidied up and ended
                log = said.decode(errors="replace").removeprefix("failed\n")
                raise ServerStartError(str(program), log.replace(password, "***"))
    except TimeoutError:
        raise ServerStartError(str(program), f"nothing for {START_LIMIT_S:.0f} s") from None
    report = said.decode().split(" ")[1:]
    _refuse_old(report[2].strip(), lifeline, program)
    return [word.strip() for word in report]


def _refuse_old(version: str, lifeline: socket.socket, program: ServerBinary) -> None:
    numbers = version.split(".")[:2]
    if all(map(str.isdigit, numbers)) and tuple(map(int, numbers)) >= OLDEST_VERSION:
        return
    lifeline.shutdown(socket.SHUT_WR)
    while lifeline.recv(1 << 16):  # until the keeper has tidied up and ended
        continue
    oldest = ".".join(map(str, OLDEST_VERSION))
    raise ServerStartError(
        str(program), f"its version is {version or 'unknown'}, at least {oldest} is needed"
    )
