"""An emulated host: a network, a name, processes and a /tmp of its own, in Linux namespaces of this machine.

It hangs on a pipe of the process that started it, so it ends with that one, whatever way that goes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from process_tree import children

LIMIT_S = 60.0

INIT = Path(__file__).with_name("netns-init.sh")
NAMESPACES = ("--uts", "--ipc", "--pid", "--mount", "--net")


class NetnsHost:
    """A host that is up.

    Args:
        name: Of the host.
        state: The cluster's folder.
        homes: Absolute paths of the home folders that are the cluster's and not this machine's.
    """

    def __init__(self, name: str, state: Path, homes: Sequence[str]) -> None:
        self.name = name
        self._state = state
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._holder = subprocess.Popen(
            ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", INIT, name, state, *homes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"up\n":
            _, err = self._holder.communicate()
            raise AssertionError(f"the host {name} does not come up: {err.decode()}")
        (self.init,) = children(self._holder.pid)

    def run(self, *command: str | Path) -> str:
        """Run a command there as root and return what it printed; a failure is an error with its words."""
        done = subprocess.run(
            [*self.inside, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{command} on {self.name}: exit code {done.returncode}: {done.stderr}"
        return done.stdout

    def start(self, *command: str | Path) -> None:
        """Start a daemon there that stays in the foreground; its log is in the cluster's folder."""
        log = self._state / "log" / f"{self.name}.{Path(command[0]).name}.log"
        with log.open("ab") as out:
            self._daemons.append(
                subprocess.Popen(
                    [*self.inside, *command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    start_new_session=True,
                )
            )

    def link(self, *words: str) -> None:
        """Run ``ip`` in its network, with the process ids of this machine."""
        subprocess.run(["nsenter", "-t", str(self.init), "--net", "ip", *words], check=True, timeout=LIMIT_S)

    def crash(self) -> None:
        """End all of its processes at once; nothing happens when it is down."""
        self._holder.kill()  # and the kernel its child, the host's first process
        self._holder.communicate()
        for daemon in self._daemons:
            daemon.wait(LIMIT_S)

    @property
    def inside(self) -> list[str]:
        """What comes before a command that is to run there."""
        return ["nsenter", "-t", str(self.init), "--all", "--wd=/", "--"]
