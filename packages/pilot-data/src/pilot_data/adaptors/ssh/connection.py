"""What a client of SSH must offer: a login at a host, and channels over it. All that moves files is built on these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from pilot_data.errors import ConnectionLostError

from .sftp_wire import Buffer


@dataclass(frozen=True)
class Login(ABC):
    """One host, and who wants in. Two that are equal reach the same host in the same way.

    Attributes:
        name: As the user calls the host.
        host: Name or address to connect to.
        port: TCP port.
        user: Login name.
    """

    name: str
    host: str
    port: int
    user: str

    @abstractmethod
    def connected(self) -> Connection:
        """Log in.

        Raises:
            LoginError: The host is not the one that is known, or does not let us in.
            ConnectionLostError: It cannot be reached, or not now.
        """


class Channel(ABC):
    """The standard input and output of a program at a host. Used by one thread at a time.

    All methods but `close` raise `EOFError` or `OSError` when the connection is lost.
    """

    @abstractmethod
    def put(self, *parts: Buffer) -> None:
        """Queue bytes, and send what fills messages; the parts must not change until `flush` has returned."""

    @abstractmethod
    def flush(self) -> None:
        """Send all that is queued."""

    @abstractmethod
    def receive(self, count: int) -> bytes:
        """Wait for bytes, and return what has come, at most so many; nothing when the program has ended.

        Raises:
            TimeoutError: Nothing came for as long as `wait_at_most` says.
            TransferError: The host has refused to start the program.
        """

    @property
    @abstractmethod
    def is_ready(self) -> bool:
        """Whether `receive` has not to wait."""

    @abstractmethod
    def wait_at_most(self, seconds: float | None) -> None:
        """Limit how long `receive` waits; None, as at first, for any time."""

    @abstractmethod
    def end_input(self) -> None:
        """Let the program read its end."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the program."""


class Connection(ABC):
    """A login at a host; several threads may use it, each with channels of its own.

    Args:
        login: Where, and who.

    Attributes:
        login: Where, and who.
        hash_tool: How many ways to hash files there are known not to work; see `remote_hashes`.
    """

    encrypts_here: ClassVar[bool]
    """Whether a thread of this process encrypts: then others had better read, write and hash beside it."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.hash_tool = 0

    @property
    @abstractmethod
    def is_alive(self) -> bool:
        """Whether channels can be opened."""

    @abstractmethod
    def sftp(self) -> Channel:
        """Start the host's SFTP server.

        Raises:
            ConnectionLostError: The connection is lost.
            TransferError: The host has no SFTP, or takes no more channels.
        """

    @abstractmethod
    def run(self, command: str) -> Channel | None:
        """Start a program; None where none may be started.

        Args:
            command: For the login shell of the account.

        Raises:
            ConnectionLostError: The connection is lost.
            BusyError: The host takes no more channels.
        """

    @abstractmethod
    def close(self) -> None:
        """End the connection; channels that are open end, too."""

    def check(self) -> None:
        """Go on.

        Raises:
            ConnectionLostError: The connection is lost.
        """
        if not self.is_alive:
            raise ConnectionLostError(f"{self.login.name}: the SSH connection was lost")


NO_SFTP = "has no SFTP: its administrators must set Subsystem sftp in sshd_config"
NO_MORE_SESSIONS = "takes no more sessions over one connection (MaxSessions in sshd_config)"
