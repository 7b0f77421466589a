"""Resources whose batch system is a stand-in: what tests start whole pilots at where the real one cannot be had."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import fake_batch
from resources import TestResource, home_folder
from sshd import HOST, plain_account, running_sshd

CORES = 2


@dataclass(frozen=True)
class StandIn:
    """A way to a stand-in.

    Attributes:
        scheme: Of the ``service_url``.
        system: What stands in.
        lrms: What agents call it.
        job: Pattern of what agents call a job; it finds the number.
    """

    scheme: str
    system: str
    lrms: str
    job: str

    @property
    def name(self) -> str:
        """What the test is called."""
        return (
            self.scheme if self.scheme.partition("+")[0] == self.system else f"{self.scheme} is {self.system}"
        )

    @property
    def uses_saga(self) -> bool:
        """Whether it is radical.saga that talks to it."""
        return self.scheme in ("pbspro", "loadl", "cobalt")


STAND_INS = (
    StandIn("torque", "torque", "pbs", r"(\d+)\.head"),
    StandIn("torque+ssh", "torque", "pbs", r"(\d+)\.head"),
    StandIn("pbs", "torque", "pbs", r"(\d+)\.head"),
    StandIn("pbs", "pbspro", "pbs", r"(\d+)\.head"),
    StandIn("lsf", "lsf", "lsf", r"(\d+)"),
    StandIn("condor", "condor", "condor", r"(\d+)\.0"),
    StandIn("pbspro", "pbspro", "pbs", r"(\d+)\.head"),
    StandIn("loadl", "loadl", "loadl", r"head\.(\d+)\.0"),
    StandIn("cobalt", "cobalt", "cobalt", r"(\d+)"),
)


@contextmanager
def running_stand_in(way: StandIn) -> Iterator[tuple[TestResource, fake_batch.FakeBatch]]:
    """Make a cluster and what leads to it; what SSH reaches is an account that has nothing but the system's Python."""
    account = plain_account() if "+" in way.scheme else None
    with ExitStack() as stack:
        cluster = stack.enter_context(fake_batch.start(way.system, account, cores=CORES, grace_s=1.0))
        home = stack.enter_context(home_folder(account))
        if account is None:
            python = Path(sys.executable).parent
            path = os.pathsep.join([str(cluster.path), str(python), os.environ.get("PATH", os.defpath)])
            yield TestResource(f"{way.scheme}://localhost", home, {"PATH": path}), cluster
            return
        server = stack.enter_context(running_sshd(f"SetEnv PATH={cluster.path}:/usr/bin:/bin"))
        known = {"PILOT_SSH_CONFIG": str(server.config_file)}
        yield TestResource(f"{way.scheme}://{account}@{HOST}", home, known, server), cluster
