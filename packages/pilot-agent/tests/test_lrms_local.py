"""What an agent uses of the node it runs on."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot_agent.lrms.allocation import Allocation, NodeShare
from pilot_agent.lrms.cgroups import Limits, read_limits
from pilot_agent.lrms.local import (
    Asked,
    LocalNode,
    is_same_host,
    needed,
    of_allocation,
    split_shares,
    without_batch_system,
)
from pilot_agent.lrms.machine import Machine, this_machine

MACHINE = Machine("node1", (0, 1, 4, 5))


@pytest.mark.parametrize(
    ("asked", "cores", "cpus"), [(None, 4, (0, 1, 4, 5)), (4, 4, (0, 1, 4, 5)), (2, 2, ()), (64, 64, ())]
)
def test_without_a_batch_system_a_pilot_has_what_was_asked_for(
    asked: int | None, cores: int, cpus: tuple[int, ...]
) -> None:
    node = without_batch_system(MACHINE, Asked(asked, gpus=2, memory_mb=100))
    assert node == LocalNode("node1", cores, cpus, ("0", "1"), 100)


def test_without_a_batch_system_and_a_number_a_pilot_has_what_the_kernel_allows() -> None:
    assert without_batch_system(Machine("node1", (0, 1, 2), Limits(cores=2)), Asked()).cores == 2


@pytest.mark.parametrize(
    ("asked", "given", "quota", "cores"),
    [
        (None, 3, None, 3),
        (2, 3, None, 2),
        (8, 3, None, 3),
        (None, 0, None, 4),
        (None, 64, None, 4),
        (3, 4, 1, 1),
    ],
)
def test_in_a_batch_job_the_smallest_of_all_numbers_of_cores_counts(
    asked: int | None, given: int, quota: int | None, cores: int
) -> None:
    machine = Machine("node1", MACHINE.cpus, Limits(cores=quota))
    assert of_allocation(machine, NodeShare("node1", given), Asked(asked)).cores == cores


@pytest.mark.parametrize(
    ("given", "asked", "gpus"),
    [
        (None, 2, ("0", "1")),
        (("3", "5"), 0, ("3", "5")),
        (("3", "5"), 1, ("3",)),
        (("3",), 2, ("3",)),
        (2, 0, ("0", "1")),
        ((), 1, ()),
        (None, 0, ()),
    ],
)
def test_gpus_are_the_jobs_where_it_tells_and_the_descriptions_elsewhere(
    given: tuple[str, ...] | int | None, asked: int, gpus: tuple[str, ...]
) -> None:
    assert of_allocation(MACHINE, NodeShare("node1", 1, given), Asked(gpus=asked)).gpus == gpus


@pytest.mark.parametrize(
    ("asked", "given", "limit", "memory_mb"),
    [(None, None, None, None), (900, None, None, 900), (900, 800, 700, 700), (None, 800, None, 800)],
)
def test_in_a_batch_job_the_smallest_limit_of_memory_counts(
    asked: int | None, given: int | None, limit: int | None, memory_mb: int | None
) -> None:
    machine = Machine("node1", (0,), Limits(memory_mb=limit))
    node = of_allocation(machine, NodeShare("node1", 1, memory_mb=given), Asked(memory_mb=asked))
    assert node.memory_mb == memory_mb


def test_the_own_share_is_found_by_name_and_is_the_first_one_otherwise() -> None:
    first, second, third = nodes = (
        NodeShare("n1.example.org", 1),
        NodeShare("n2.example.org", 2),
        NodeShare("n3.example.org", 3),
    )
    job = Allocation("pbs", "1", nodes)
    assert split_shares(job, ["n2"]) == (second, (first, third))
    assert split_shares(job, ["alias2", "N2.example.org"]) == (second, (first, third))
    assert split_shares(job, ["elsewhere"]) == (NodeShare("elsewhere", 1), (second, third))
    assert split_shares(Allocation("condor", "1", ()), ["here"]) == (NodeShare("here"), ())


@pytest.mark.parametrize(
    ("cores", "shares", "used"),
    [
        (None, (4, 4), 2),
        (0, (4, 4), 0),
        (-3, (4,), 0),
        (1, (4, 4), 1),
        (4, (4, 4), 1),
        (5, (4, 4), 2),
        (99, (4, 4), 2),
        (4, (0, 0), 2),
    ],
)
def test_no_more_nodes_are_used_than_the_cores_that_were_asked_for_need(
    cores: int | None, shares: tuple[int, ...], used: int
) -> None:
    others = [NodeShare(f"n{number}", share) for number, share in enumerate(shares)]
    assert needed(others, cores) == tuple(others[:used])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("n1", "n1", True),
        ("n1", "N1.example.org", True),
        ("n1.a.org", "n1.b.org", False),
        ("n1", "n11", False),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_hosts_are_the_same_but_for_a_missing_domain(one: str, other: str, same: bool) -> None:
    assert is_same_host(one, other) is is_same_host(other, one) is same


def test_this_machine_is_looked_at() -> None:
    machine = this_machine()
    assert machine.name
    assert 1 <= machine.cores <= len(machine.cpus)


class FakeRoot:
    """A root folder with control groups."""

    def __init__(self, path: Path, mountinfo: str, cgroup: str) -> None:
        self.path = path
        self.put("proc/self/mountinfo", mountinfo)
        self.put("proc/self/cgroup", cgroup)

    def put(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_version_2_counts_the_strictest_group_on_the_way_up(tmp_path: Path) -> None:
    mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    root = FakeRoot(tmp_path, mount, "0::/system.slice/job_7/step\n")
    root.put("sys/fs/cgroup/system.slice/job_7/step/cpu.max", "max 100000\n")
    root.put("sys/fs/cgroup/system.slice/job_7/step/memory.max", "2147483648\n")
    root.put("sys/fs/cgroup/system.slice/job_7/cpu.max", "250000 100000\n")
    root.put("sys/fs/cgroup/system.slice/job_7/memory.max", "1073741824\n")
    root.put("sys/fs/cgroup/system.slice/memory.max", "max\n")
    assert read_limits(tmp_path) == Limits(2, 1024)


def test_version_1_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    mounts = (
        "31 23 0:27 /outer /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
        "33 23 0:29 / /proc rw - proc proc rw\n"
    )
    root = FakeRoot(tmp_path, mounts, "4:cpu,cpuacct:/outer/job\n5:memory:/job\n1:name=systemd:/\n")
    root.put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "50000\n")
    root.put("sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us", "100000\n")
    root.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n")
    root.put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    root.put("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "9223372036854771712\n")
    root.put("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n")
    assert read_limits(tmp_path) == Limits(1, 512)


def test_a_group_that_is_not_mounted_here_leaves_what_is(tmp_path: Path) -> None:
    mount = "30 23 0:26 /other /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    root = FakeRoot(tmp_path, mount, "0::/../outside\n")
    root.put("sys/fs/cgroup/cpu.max", "300000 100000\n")
    assert read_limits(tmp_path) == Limits(3, None)


def test_a_system_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits()
