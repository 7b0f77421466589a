"""The resources that tests start pilots at: real batch systems and SSH servers, by the ``service_url`` that leads there."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sge import running_sge
from slurm import running_slurm
from sshd import HOST, Sshd, plain_account, running_sshd

SYSTEMS = ("ssh", "slurm", "slurm+ssh", "sge", "sge+ssh")


@dataclass(frozen=True)
class TestResource:
    """Where a test may start pilots.

    Attributes:
        service_url: Leads there.
        home: A folder that the account of the pilots may write to.
        variables: What clients and batch commands need in their environment.
        sshd: The server in between, if there is one.
    """

    __test__ = False

    service_url: str
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    sshd: Sshd | None = None

    @property
    def server(self) -> Sshd:
        """The SSH server in between."""
        assert self.sshd is not None
        return self.sshd


@contextmanager
def running_resource(system: str) -> Iterator[TestResource]:
    """Run what a pilot of a system needs; what SSH reaches is an account that has nothing but the system's Python."""
    batch, _, way = system.partition("+")
    is_far = system == "ssh" or bool(way)
    with ExitStack() as stack:
        variables: dict[str, str] = {}
        if batch == "slurm":
            variables.update(stack.enter_context(running_slurm()).environment)
        if batch == "sge":
            variables.update(stack.enter_context(running_sge()).environment)
        home = stack.enter_context(home_folder(plain_account() if is_far else None))
        if not is_far:
            yield TestResource(f"{system}://localhost", home, variables)
            return
        known = (
            [f"SetEnv {' '.join(f'{name}={value}' for name, value in variables.items())}"]
            if variables
            else []
        )
        server = stack.enter_context(running_sshd(*known))
        variables["PILOT_SSH_CONFIG"] = str(server.config_file)
        yield TestResource(f"{system}://{plain_account()}@{HOST}", home, variables, server)


@contextmanager
def home_folder(account: str | None) -> Iterator[Path]:
    """Make a folder that an account may write to; remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="pilot-home-", dir="/tmp"))
    if account is not None:
        os.chown(folder, pwd.getpwnam(account).pw_uid, -1)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
