"""Pilots with several nodes on an emulated cluster: where units run, and what is lost, done twice or left when something is killed."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from functools import partial

import pytest

from netns_cluster import NetnsCluster
from node_bench import NODES, PER_NODE, PILOT, WAYS, NodeBench
from protocol_client import Request

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.mark.parametrize("way", WAYS)
def test_units_are_spread_over_all_nodes_each_on_a_core_of_its_own(bench: NodeBench, way: str) -> None:
    WAYS[way](bench)
    bench.wait_for_nodes(*NODES)
    mask = "grep Cpus_allowed_list /proc/self/status | cut -f2"
    held = 'D=$LOG.$PILOT_UNIT_NODES.$PILOT_UNIT_CORES; mkdir "$D" || exit 9; sleep 0.05; rmdir "$D"'
    units = bench.client.submit([bench.log.payload(f"{held}; {mask}; hostname")] * 200)
    bench.check_units(units)
    results = [bench.client.result(unit) for unit in units]
    for result in results:
        assert (result.stdout or "").split() == [result.cores, result.node]
    cores = Counter((result.node, result.cores) for result in results)
    assert len(cores) == len(NODES) * PER_NODE
    bench.stop()
    assert bench.left() == {}
    assert bench.record()["cores"] == str(len(NODES) * PER_NODE)
    bench.tell(f"200 units by {way}", least=min(cores.values()), most=max(cores.values()))


def busy(bench: NodeBench, count: int = 100) -> list[str]:
    """Submit units of some 100 ms and wait until some have ended: the pilot is in the middle of them then."""
    units = bench.client.submit([bench.log.payload("sleep 0.2; : exec.log")] * count)
    bench.client.wait(lambda seen: len(seen.in_state("DFC")) >= count // 5)
    return units


def is_idle(bench: NodeBench, node: str) -> bool:
    return not (bench.running(node, "exec.log") or bench.running(node, "pilot_agent"))


def check(bench: NodeBench, units: list[str], fault: str) -> None:
    """None of the units is lost, none has ended twice, and nothing is left on any host when the pilot has ended."""
    bench.check_units(units)
    again = bench.log.started_after_end()
    bench.stop()
    left = bench.left()
    bench.tell(fault, lost=0, twice=len(again), left=left)
    # A unit notes its end before it ends: where its executor is killed in between, nobody knows of it, and it starts again.
    assert len(again) <= len(NODES) * PER_NODE
    assert left == {}


@pytest.mark.parametrize("way", WAYS)
def test_an_executor_that_is_killed_costs_only_what_it_ran(bench: NodeBench, way: str) -> None:
    WAYS[way](bench)
    bench.wait_for_nodes(*NODES)
    units = busy(bench)
    bench.kill(bench.one("node2", "far_executor"))
    bench.until(lambda: "node.back node2" in bench.said, "the node's return")
    check(bench, units, f"kill -9 of an executor, {way}")
    assert bench.log.started_again() <= PER_NODE


@pytest.mark.parametrize("way", WAYS)
def test_a_warden_that_is_killed_costs_its_node_and_the_rest_goes_on(bench: NodeBench, way: str) -> None:
    WAYS[way](bench)
    bench.wait_for_nodes(*NODES)
    units = busy(bench)
    bench.kill(bench.one("node2", "pilot_agent node"))
    bench.until(lambda: "node.lost node2" in bench.said, "the loss of the node")
    check(bench, units, f"kill -9 of a warden, {way}")


@pytest.mark.parametrize("way", WAYS)
def test_a_head_that_is_killed_is_followed_by_one_that_calls_all_nodes_again(
    bench: NodeBench, way: str
) -> None:
    WAYS[way](bench)
    bench.wait_for_nodes(*NODES)
    units = busy(bench)
    bench.kill(bench.one("node1", "--head", "--started"))
    bench.until(lambda: bench.said.count("nodes.called") == 2, "the next head")
    check(bench, units, f"kill -9 of the head, {way}")


def test_the_sshd_of_a_node_that_is_killed_costs_nothing(bench: NodeBench) -> None:
    bench.start_by_ssh()
    bench.wait_for_nodes(*NODES)
    units = busy(bench)
    bench.kill(*bench.running("node2", "sshd: root"))
    check(bench, units, "kill -9 of a node's sshd")
    assert "node.silent" not in bench.said
    assert bench.log.started_again() == 0


def test_a_node_that_is_cut_off_is_given_up_after_it_has_killed_its_units(
    bench: NodeBench, cluster: NetnsCluster
) -> None:
    bench.start_by_ssh()
    bench.wait_for_nodes(*NODES)
    on_node2 = "case $PILOT_UNIT_NODES:$PILOT_UNIT_ATTEMPT in node2:1) sleep 600;; esac"
    units = bench.client.submit([bench.log.payload(f"{on_node2}; sleep 0.1; : exec.log")] * 100)
    bench.client.wait(lambda seen: len(seen.in_state("DFC")) >= len(units) // 5)
    cluster.hosts["node2"].link("link", "set", "eth0", "down")
    try:
        bench.until(lambda: not bench.running("node2", "exec.log"), "the end of the units of the node")
        assert "node.lost" not in bench.said
        bench.until(lambda: "node.lost node2" in bench.said, "the loss of the node")
        bench.check_units(units)
        bench.until(lambda: bench.record()["nodes"] == "node1,node3,node4", "the record")
    finally:
        cluster.hosts["node2"].link("link", "set", "eth0", "up")
    check(bench, units, "a node's network cut")
    assert bench.log.started_again() == PER_NODE


def test_a_node_whose_network_comes_back_is_used_again(bench: NodeBench, cluster: NetnsCluster) -> None:
    bench.start_by_ssh()
    bench.wait_for_nodes(*NODES)
    units = busy(bench)
    cluster.hosts["node2"].link("link", "set", "eth0", "down")
    bench.until(lambda: "node.silent node2" in bench.said, "the silence of the node")
    cluster.hosts["node2"].link("link", "set", "eth0", "up")
    bench.until(lambda: "node.back node2" in bench.said, "the return of the node")
    check(bench, units, "a node's network cut for a while")


def test_an_executor_that_is_killed_takes_the_ranks_of_other_nodes_units_along(bench: NodeBench) -> None:
    if shutil.which("mpiexec") is None:
        pytest.skip("no server: mpiexec missing (mpich, openmpi-bin)")
    bench.start_by_ssh()
    bench.wait_for_nodes(*NODES)
    act = '[ "$PILOT_UNIT_ATTEMPT" != 1 ] || exec sleep 613; : exec.log'
    ranks = len(NODES) * PER_NODE
    description = bench.log.payload(act, spmd_variation="mpi", number_of_processes=ranks)
    (unit,) = bench.client.submit([description], Request(cores=ranks, block=1))
    bench.until(lambda: all(len(bench.running(node, "sleep 613")) == PER_NODE for node in NODES), "the ranks")
    bench.kill(bench.one("node3", "far_executor"))
    bench.check_units([unit])
    assert sum(bench.log.starts().values()) == 2 * ranks
    bench.stop()
    assert bench.left() == {}
    assert not any(bench.running(node, "sleep 613") for node in NODES)


def test_the_first_node_that_is_cut_off_takes_all_others_along(
    bench: NodeBench, cluster: NetnsCluster
) -> None:
    bench.start_by_ssh(options={"node_patience_s": 5})
    bench.wait_for_nodes(*NODES)
    bench.client.submit([bench.log.payload("sleep 600; : exec.log")] * 8)
    bench.client.wait(lambda seen: len(seen.in_state("R")) == 8)
    cluster.hosts["node1"].link("link", "set", "eth0", "down")
    try:
        for node in NODES[1:]:
            bench.until(partial(is_idle, bench, node), f"the end of what runs on {node}")
    finally:
        cluster.hosts["node1"].link("link", "set", "eth0", "up")


def test_a_job_of_slurm_that_is_canceled_leaves_nothing_on_any_node(
    bench: NodeBench, cluster: NetnsCluster
) -> None:
    bench.start_by_slurm()
    bench.wait_for_nodes(*NODES)
    bench.client.submit([bench.log.payload("sleep 600; : exec.log")] * 8)
    bench.client.wait(lambda seen: len(seen.in_state("R")) == 8)
    cluster.hosts["head"].run("scancel", "--full", "-s", "TERM", bench.record()["job"])
    bench.client.wait_for_pilot(PILOT, "Canceled")
    assert bench.left() == {}


def test_a_sandbox_that_nodes_do_not_share_is_told(bench: NodeBench, cluster: NetnsCluster) -> None:
    bench.start_by_ssh(sandbox="/tmp/pilot-here-only")
    bench.wait_for_nodes("node1")
    bench.stop()
    for node in NODES[1:]:
        words = f"the pilot does without node {node}: node {node}: the pilot's sandbox /tmp/pilot-here-only is not here; "
        assert (
            f"{words}the pilot's working_directory must be on a file system that all of its nodes share"
            in bench.said
        )
    assert bench.left() == {}


def test_a_node_that_cannot_be_reached_is_told(bench: NodeBench, cluster: NetnsCluster) -> None:
    cluster.hosts["node3"].link("link", "set", "eth0", "down")
    try:
        bench.start_by_ssh(options={"node_patience_s": 5})
        bench.wait_for_nodes("node1", "node2", "node4")
        bench.stop()
    finally:
        cluster.hosts["node3"].link("link", "set", "eth0", "up")
    # The kernel may say within that time that nobody answers there.
    why = "it has not come within 5 s|ssh: connect to host node3 port 22: No route to host"
    assert re.search(f"the pilot does without node node3: ({why})", bench.said)
    assert bench.left() == {}
