"""What SSH is to reach, and how the user's own OpenSSH client is called for it. Pure: no process is started here.

The invariant: nothing of a ``service_url`` can become an option of ``ssh`` or a word for a shell.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pilot.config import ClientConfig
from pilot_protocol.errors import SubmissionError

SOCKET_FOLDER_BYTES = 48
"""The longest folder for sockets: ours lie two levels below, and OpenSSH binds them under a longer name first."""

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*)|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?")
_USER = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.@+\\$-]*")


@dataclass(frozen=True)
class SshOptions:
    """How OpenSSH is called.

    Attributes:
        program: The client.
        settings: ``Name=value`` each, before those of any file (``ssh_config(5)``).
        config_file: Read instead of the user's configuration; None: the user's.
        socket_folder: Existing folder, with a short path, for the folder of a connection's socket.
        connect_limit_s: For reaching the server (``ConnectTimeout``).
        alive_interval_s: A silent server is asked after so many seconds for a sign of life, and given up after three
            such questions (``ServerAliveInterval``).
    """

    program: str = "ssh"
    settings: tuple[str, ...] = ()
    config_file: str | None = None
    socket_folder: Path = Path("/tmp")  # noqa: S108 - the connection's own folder is made 0700 below it
    connect_limit_s: int = 30
    alive_interval_s: int = 15

    @classmethod
    def from_config(cls, config: ClientConfig) -> SshOptions:
        """Return what the environment asks for."""
        runtime = config.runtime_dir
        short = runtime is not None and len(str(runtime)) <= SOCKET_FOLDER_BYTES and runtime.is_dir()
        return cls(
            program=shutil.which(cls.program, path=config.search_path) or cls.program,
            config_file=config.ssh_config,
            socket_folder=runtime if short and runtime is not None else cls.socket_folder,
        )

    @property
    def base(self) -> list[str]:
        """The program and its configuration."""
        file = ["-F", self.config_file] if self.config_file else []
        return [self.program, *file, *(word for setting in self.settings for word in ("-o", setting))]


@dataclass(frozen=True)
class SshTarget:
    """A machine that SSH reaches.

    Attributes:
        host: Its name, its address, or an alias from the user's ``~/.ssh/config``.
        user: The account there; None: what OpenSSH's configuration says.
        port: Of the server there; None: what OpenSSH's configuration says.
    """

    host: str
    user: str | None = None
    port: int | None = None

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise SubmissionError(f"{self.host!r} is no name of a host that SSH could reach")
        if self.user is not None and not _USER.fullmatch(self.user):
            raise SubmissionError(f"{self.user!r} is no name of an account on {self.host}")

    @classmethod
    def from_url(cls, service_url: str) -> SshTarget:
        """Return the target of a ``service_url``: ``ssh://user@host:port/``, ``slurm+ssh://alias/``.

        Raises:
            SubmissionError: The URL names no host, a port that is none, or a password.
        """
        account, _, place = _authority(service_url).rpartition("@")
        if ":" in account:
            raise SubmissionError(
                f"the service_url for {place} holds a password, which SSH does not take from there; use a key, "
                "a ticket, or a master connection that you open before (ControlMaster in ~/.ssh/config)"
            )
        # Not split.hostname, which is in lower case: the aliases of OpenSSH are not.
        host, port = _host_and_port(place, service_url)
        return cls(unquote(host), unquote(account) or None, port)

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"{self.user}@{self.host}" if self.user else self.host

    @property
    def arguments(self) -> list[str]:
        """The target in a command line of ``ssh``."""
        account = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        return [*account, *port, "--", self.host]


def _authority(service_url: str) -> str:
    try:
        return urlsplit(service_url).netloc
    except ValueError as error:  # not quoted: it may hold a password
        raise SubmissionError(
            f"the service_url is no URL ({error}); write it as ssh://user@host:port/"
        ) from error


def _host_and_port(place: str, service_url: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(?:\[(?P<address>[^\]]+)\]|(?P<host>[^:]+))(?::(?P<port>[0-9]*))?", place)
    if found is None:
        raise SubmissionError(f"{service_url!r} names no host; write it as ssh://user@host:port/")
    port = int(found["port"] or 0)
    if port > 65535:
        raise SubmissionError(f"{service_url!r} names port {port}; ports go up to 65535")
    return found["address"] or found["host"], port or None
