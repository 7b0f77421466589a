"""The emulated cluster is what tests take it for, and leaves nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netns_cluster import NODES, NetnsCluster, running_cluster
from pilot.submission.ssh.place import SshPlace
from ports import free_port
from process_tree import command_line, descendants
from real_redis import running_server
from sshd import plain_account
from until import until


@pytest.fixture(scope="module")
def cluster() -> Iterator[NetnsCluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def head(cluster: NetnsCluster) -> Iterator[SshPlace]:
    place = SshPlace(cluster.target(), cluster.options)
    yield place
    place.close()


def test_slurm_starts_a_job_on_both_nodes(head: SshPlace) -> None:
    assert sorted(head.run("srun -N2 hostname").text.split()) == sorted(NODES)


def test_every_host_is_reached_from_here_the_nodes_through_the_head(cluster: NetnsCluster) -> None:
    for name in cluster.hosts:
        place = SshPlace(cluster.target(name), cluster.options)
        assert place.run("hostname").text == f"{name}\n"
        place.close()


@pytest.mark.parametrize("account", ["root", "other"])
def test_a_job_reaches_the_head_by_the_key_of_the_cluster(cluster: NetnsCluster, account: str) -> None:
    user = plain_account() if account == "other" else account
    place = SshPlace(cluster.target(user=user), cluster.options)
    done = place.run("srun -N1 ssh -o BatchMode=yes head 'hostname; id -un'")
    assert (done.text, done.code) == (f"head\n{user}\n", 0), done.err
    place.close()


def test_the_nodes_do_not_reach_this_machine(cluster: NetnsCluster, tmp_path: Path) -> None:
    with running_server(tmp_path, port := free_port()):
        knock = f"import socket; socket.create_connection(({{!r}}, {port}), 5)"
        for address in ("127.0.0.1", cluster.head_address.rpartition(".")[0] + ".1"):
            with pytest.raises(AssertionError, match=r"Connection refused|Network is unreachable"):
                cluster.hosts["node1"].run("python3", "-c", knock.format(address))


def test_hosts_share_homes_and_a_folder_but_neither_tmp_nor_the_homes_of_this_machine(
    cluster: NetnsCluster, tmp_path: Path
) -> None:
    head, node = cluster.hosts["head"], cluster.hosts["node1"]
    head.run("touch", "/tmp/of-head", f"{cluster.shared}/common", "/root/common")
    assert "of-head" not in node.run("ls", "/tmp")
    assert node.run("ls", str(cluster.shared), "/root").split().count("common") == 2
    assert (cluster.shared / "common").exists()
    assert not Path("/root/common").exists()
    assert not Path("/tmp/of-head").exists()


def remnants(state: Path, head_address: str) -> list[str]:
    """Return what there is of one cluster on this machine: others may come and go beside it."""
    cable = f"pilot{head_address.split('.')[1]}"
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    routes = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
    return [
        *[line for line in links.splitlines() if f": {cable}@" in line],
        *[line for line in routes.splitlines() if f"dev {cable} " in f"{line} "],
        *([str(state)] if state.exists() else []),
    ]


def test_a_cluster_that_is_taken_down_leaves_nothing() -> None:
    before = descendants(os.getpid())
    with running_cluster() as cluster:
        mine = cluster.shared.parent, cluster.head_address
        cluster.hosts["node1"].crash()
        assert len(remnants(*mine)) == 4
    assert (remnants(*mine), descendants(os.getpid())) == ([], before)


def test_a_cluster_whose_program_is_killed_has_no_processes_and_networks_left(cluster: NetnsCluster) -> None:
    program = (
        "import sys, time\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from netns_cluster import running_cluster\n"
        "with running_cluster() as cluster: print(cluster.shared.parent, cluster.head_address, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder, head_address = process.stdout.readline().split()
        state = Path(folder)
        processes = descendants(process.pid)
        assert any("slurmd" in command_line(pid) for pid in processes)
        process.send_signal(signal.SIGKILL)
    until(lambda: not any(command_line(pid) for pid in processes))
    shutil.rmtree(state)
    until(lambda: not remnants(state, head_address))
