"""What tests of pilots with several nodes start from: a cluster for each file, and an empty server on it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from netns_cluster import NetnsCluster, running_cluster
from node_bench import NODES, NodeBench, node_bench, server_on_head


@pytest.fixture(scope="module")
def cluster() -> Iterator[NetnsCluster]:
    """An emulated cluster, with a Redis server that its nodes reach."""
    with running_cluster(len(NODES)) as running, server_on_head(running):
        yield running


@pytest.fixture
def bench(cluster: NetnsCluster) -> Iterator[NodeBench]:
    """A session on that cluster, with a pilot of all of its nodes."""
    with node_bench(cluster, NODES) as bench:
        yield bench
