"""A small cluster on this machine: the hosts head, node1, node2, … with Slurm, each with a network and an sshd of its own.

    this machine --- head --- node1, node2, …

This machine and the nodes reach the head, and nobody reaches through it: a pilot on a node comes to a Redis server of
this machine by a tunnel to the head, as on a real cluster. Homes and `NetnsCluster.shared` are common to the cluster's
hosts and are not this machine's homes; /tmp is each host's own. The Python of the tests, with what it imports, is seen on
all hosts. Needs root and network namespaces. All of it lies in one
folder and ends with the process that started it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import netns_slurm
from netns_host import LIMIT_S, NAMESPACES, NetnsHost
from own_sshd import new_key, serves_ssh, sshd_program
from pilot.submission.ssh.target import SshOptions, SshTarget
from sshd import plain_account

NODES = ("node1", "node2")
"""Where nobody asks for more."""
TOOLS = ("ip", "unshare", "nsenter", "ssh-keygen")


class NetnsCluster:
    """A cluster that is up.

    Args:
        state: Its folder.
        prefix: The first two numbers of its addresses.
        hosts: By name.

    Attributes:
        addresses: Inside the cluster, by host.
    """

    def __init__(self, state: Path, prefix: str, hosts: dict[str, NetnsHost]) -> None:
        self.shared = state / "shared"
        self.hosts = hosts
        self.head_address = f"{prefix}.1.2"
        self.addresses = _addresses(prefix, [name for name in hosts if name != "head"])
        self._state = state

    @property
    def options(self) -> SshOptions:
        """How clients on this machine call ``ssh``: `head`, and `node1`, `node2`, … through it."""
        return SshOptions(config_file=str(self.config_file), socket_folder=self._state / "sockets")

    @property
    def config_file(self) -> Path:
        """The configuration of clients on this machine, for ``PILOT_SSH_CONFIG``."""
        return self._state / "client_config"

    def target(self, host: str = "head", user: str | None = None) -> SshTarget:
        """Return a host as a place is given it."""
        return SshTarget(host, user=user)


@contextmanager
def running_cluster(size: int = len(NODES)) -> Iterator[NetnsCluster]:
    """Run a cluster of so many nodes for the length of a block; skip the test where that cannot be."""
    names = [f"node{number}" for number in range(1, size + 1)]
    sshd = sshd_program()
    _skip_without_means()
    state = Path(tempfile.mkdtemp(prefix="pilot-cluster-", dir="/var/tmp"))  # the hosts' /tmp is their own
    state.chmod(0o755)
    prefix = _free_prefix()
    with ExitStack() as undone:
        undone.callback(shutil.rmtree, state)
        homes = [pwd.getpwnam(account).pw_dir for account in ("root", plain_account())]
        _write_files(state, prefix, names, homes)
        hosts = {}
        for name in ("head", *names):
            hosts[name] = NetnsHost(name, state, homes)
            undone.callback(hosts[name].crash)
        undone.enter_context(_wired(prefix, hosts["head"], [hosts[name] for name in names]))
        for host in hosts.values():
            host.start(sshd, "-D", "-e", "-f", state / "sshd_config")
        nodes = [hosts[name] for name in names]
        netns_slurm.start(state, hosts["head"], nodes)
        _await(lambda: netns_slurm.is_ready(hosts["head"], nodes), f"Slurm, see {state}/log")
        _await(lambda: serves_ssh(22, f"{prefix}.1.2"), f"sshd, see {state}/log")
        yield NetnsCluster(state, prefix, hosts)


def _skip_without_means() -> None:
    missing = [program for program in (*TOOLS, *netns_slurm.PROGRAMS) if shutil.which(program) is None]
    if missing:
        pytest.skip(f"no server: {', '.join(missing)} missing (iproute2, util-linux, slurm-wlm, munge)")
    alone = ["unshare", *NAMESPACES, "--fork", "ip", "link", "add", "x", "type", "veth"]
    if os.geteuid() != 0 or subprocess.run(alone, capture_output=True, check=False).returncode:
        pytest.skip("no server: network namespaces can be made only by root, where the system allows them")


def _free_prefix() -> str:
    """Return the first two numbers of addresses that this machine has no route to."""
    routes = subprocess.run(
        ["ip", "-4", "route", "show", "table", "all"], capture_output=True, text=True, check=True
    )
    first = os.getpid() % 100
    candidates = (f"10.{100 + (first + n) % 100}" for n in range(100))
    return next(
        prefix for prefix in candidates if f" {prefix}." not in f" {routes.stdout}".replace("\n", " ")
    )


def _addresses(prefix: str, nodes: list[str]) -> dict[str, str]:
    """Return the addresses inside the cluster, by host."""
    return {"head": f"{prefix}.2.1", **{name: f"{prefix}.2.{11 + n}" for n, name in enumerate(nodes)}}


@contextmanager
def _wired(prefix: str, head: NetnsHost, nodes: list[NetnsHost]) -> Iterator[None]:
    """Lay the networks; the one to this machine is taken away in the end, the others go with the hosts."""
    addresses = _addresses(prefix, [node.name for node in nodes])
    cable = f"pilot{prefix.rpartition('.')[2]}"
    _ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(head.init))
    try:
        _ip("addr", "add", f"{prefix}.1.1/24", "dev", cable)
        _ip("link", "set", cable, "up")
        # What is meant for the nodes must not leave by the default route; the head does not pass it on.
        _ip("route", "add", f"{prefix}.2.0/24", "dev", cable)
        _plug(head, "eth0", f"{prefix}.1.2")
        head.link("link", "add", "eth1", "type", "bridge")
        _plug(head, "eth1", addresses["head"])
        for node in nodes:
            outer = f"to-{node.name}"
            head.link("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", str(node.init))
            head.link("link", "set", outer, "master", "eth1", "up")
            _plug(node, "eth0", addresses[node.name])
        yield
    finally:
        _ip("link", "del", cable)


def _plug(host: NetnsHost, device: str, address: str) -> None:
    host.link("addr", "add", f"{address}/24", "dev", device)
    host.link("link", "set", device, "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=LIMIT_S)


def _write_files(state: Path, prefix: str, names: list[str], homes: list[str]) -> None:
    for folder in ("log", "slurm", "homes"):
        (state / folder).mkdir()
    (state / "sockets").mkdir(mode=0o700)
    (state / "shared").mkdir()
    (state / "shared").chmod(0o1777)
    addresses = _addresses(prefix, names)
    lines = "".join(f"{address} {name}\n" for name, address in addresses.items())
    (state / "hosts").write_text(f"127.0.0.1 localhost\n{lines}")
    (state / "resolv.conf").write_text("")
    (state / "seen").write_text("".join(f"{folder}\n" for folder in _seen(homes)))
    for key in ("host_key", "user_key", "cluster_key"):
        new_key(state / key)
    shutil.copy(state / "user_key.pub", state / "authorized_keys")
    (state / "sshd_config").write_text(_sshd_config(state))
    (state / "known_hosts").write_text(f"* {(state / 'host_key.pub').read_text()}")
    (state / "client_config").write_text(_client_config(state, prefix))
    for home in homes:
        _write_home(state, home)
    netns_slurm.write_settings(state, addresses["head"], {name: addresses[name] for name in names})


def _seen(homes: list[str]) -> list[Path]:
    """Return the folders of Python and of this repository that homes and other folders of the cluster would hide."""
    wanted = {Path(sys.base_prefix), Path(sys.prefix), Path(__file__).resolve().parents[2]}
    hiding = [*homes, "/tmp", "/run", "/dev/shm"]
    hidden = [folder for folder in wanted if any(folder.is_relative_to(each) for each in hiding)]
    return sorted(hidden, key=lambda folder: len(folder.parts))  # one may lie in another


def _write_home(state: Path, home: str) -> None:
    """Make a home that is common to the cluster's hosts, with the key by which they let one another in."""
    owner = os.stat(home)
    ssh = state / f"homes{home}" / ".ssh"
    ssh.mkdir(mode=0o700, parents=True)
    files = {"cluster_key": "id_ed25519", "cluster_key.pub": "authorized_keys", "known_hosts": "known_hosts"}
    for source, name in files.items():
        shutil.copy(state / source, ssh / name)  # with its mode
    for path in (ssh.parent, ssh, *ssh.iterdir()):
        os.chown(path, owner.st_uid, owner.st_gid)
    ssh.parent.chmod(0o700)


def _sshd_config(state: Path) -> str:
    return f"""\
Port 22
HostKey {state}/host_key
PidFile none
AuthorizedKeysFile {state}/authorized_keys .ssh/authorized_keys
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100
Subsystem sftp internal-sftp
"""


def _client_config(state: Path, prefix: str) -> str:
    return f"""\
Host head
HostName {prefix}.1.2
Host node*
ProxyJump head
Host *
IdentityFile {state}/user_key
IdentitiesOnly yes
IdentityAgent none
StrictHostKeyChecking yes
UserKnownHostsFile {state}/known_hosts
GlobalKnownHostsFile /dev/null
"""


def _await(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.1)
