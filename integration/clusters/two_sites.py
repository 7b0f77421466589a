"""Two sites far from each other: hosts of the emulated cluster, each with a store and a pilot, and a slow link between them.

    this machine, site-1 (node1) === the link === site-2 (node2)

The link is two relays on the cluster's head, for what is asked of either site, which delay, bound the rate and count. Nothing
else leads from one side to the other: the hosts do not reach each other, and this machine is on the side of the first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from netns_cluster import NetnsCluster, running_cluster
from netns_host import NetnsHost
from slow_link import bytes_passed
from until import until

SITES = ("site-1", "site-2")
STORE = "/tmp/store"
"""On each site; /tmp is each host's own."""
ROUND_TRIP_MS, MB_PER_S = 40.0, 10.0
_LINK_PORT = 2201
_LINK = Path(__file__).with_name("slow_link.py")


@dataclass(frozen=True)
class TwoSites:
    """The sites, and what passed between them.

    Attributes:
        cluster: Whose hosts they are.
        variables: What a client on this machine needs in its environment.
        counters: Files in which the link counts, by the site that is asked.
    """

    cluster: NetnsCluster
    variables: Mapping[str, str]
    counters: Mapping[str, Path]

    def host(self, site: str) -> NetnsHost:
        """Return the host that a site is."""
        return self.cluster.hosts[_node(site)]

    def bytes_between(self) -> int:
        """Return how many bytes have passed the link, both ways, with all that SSH adds."""
        return sum(map(bytes_passed, self.counters.values()))

    def pilot_description(self, site: str, cores: int) -> dict[str, object]:
        """Return the description of a pilot at a site."""
        return {
            "service_url": f"ssh://root@{site}",
            "number_of_processes": cores,
            "working_directory": "/tmp/agent",
            "python": sys.executable,
            "tunnel": True,
            "walltime": 30,
            **_labels(site),
        }

    def store_description(self, site: str) -> dict[str, object]:
        """Return the description of a Pilot-Data at a site."""
        return {"service_url": f"ssh://root@{site}{STORE}", **_labels(site)}


def _labels(site: str) -> dict[str, object]:
    return {"affinity_datacenter_label": site}


def _node(site: str) -> str:
    return f"node{SITES.index(site) + 1}"


@contextmanager
def two_sites(home: Path) -> Iterator[TwoSites]:
    """Run both sites for the length of a block.

    Args:
        home: Of the client on this machine; gets an SSH configuration.
    """
    with running_cluster(len(SITES)) as cluster:
        counters = {site: cluster.shared / f"{site}.bytes" for site in SITES}
        for number, site in enumerate(SITES):
            words = [f"0.0.0.0:{_LINK_PORT + number}", f"{_node(site)}:22", str(ROUND_TRIP_MS), str(MB_PER_S)]
            cluster.hosts["head"].start(sys.executable, _LINK, *words, counters[site])
        until(lambda: all(path.exists() for path in counters.values()))
        for site, other in (SITES, SITES[::-1]):
            cluster.hosts[_node(site)].link("route", "add", "unreachable", cluster.addresses[_node(other)])
        _let_sites_meet(cluster)
        config = _let_client_in(cluster, home)
        yield TwoSites(cluster, {"HOME": str(home), "PILOT_SSH_CONFIG": str(config)}, counters)


def _let_sites_meet(cluster: NetnsCluster) -> None:
    """Write what the sites' own SSH needs; their homes are common, so it is the same for both."""
    lines = [
        f'Match originalhost {site} exec "test $(uname -n) = {_node(site)}"\nHostName localhost\nPort 22\n'
        f"Host {site}\nHostName head\nPort {_LINK_PORT + number}\nHostKeyAlias {_node(site)}\n"
        for number, site in enumerate(SITES)
    ]
    command = 'printf %s "$1" >~/.ssh/config && chmod 600 ~/.ssh/config'
    cluster.hosts["head"].run("sh", "-c", command, "sh", "".join(lines))


def _let_client_in(cluster: NetnsCluster, home: Path) -> Path:
    """Write the SSH configuration of a client on this machine, who reaches the far site through the link."""
    config = home / ".ssh" / "config"
    config.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    near, far = SITES
    ways = (
        f"Host {near}\nHostName {_node(near)}\nProxyJump head\n"
        f"Host {far}\nHostName {cluster.head_address}\nPort {_LINK_PORT + 1}\nHostKeyAlias {_node(far)}\n"
    )
    config.write_text(ways + cluster.config_file.read_text())
    os.chmod(config, 0o600)
    return config
