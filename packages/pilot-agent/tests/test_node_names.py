"""What the core numbers, by the names that executors and programs know."""

from __future__ import annotations

from typing import Any

import pytest

from pilot_agent.lrms.local import LocalNode
from pilot_agent.node_names import NodeNames

NODES = [
    LocalNode("n1", 2, (4, 6), ("0", "1")),
    LocalNode("n2", 4, (), ("GPU-a", "GPU-b")),
    LocalNode("n3", 2, (0, 1), ("3",)),
]


@pytest.fixture
def names() -> NodeNames:
    return NodeNames(NODES, 2, {"launcher": "", "srun_type": "pmix"})


def order(cores: list[int] | None, **more: Any) -> dict[str, Any]:
    return {"env": {}, "cores": cores, **more}


@pytest.mark.parametrize(
    ("executor", "node", "cpus", "pin"),
    [(0, "n1", [4, 6], True), (1, "n1", [4, 6], True), (2, "n2", [0, 1], False), (3, "n3", [0, 1], True)],
)
def test_an_order_gets_the_cpus_of_its_executors_node(
    names: NodeNames, executor: int, node: str, cpus: list[int], pin: bool
) -> None:
    told = order([0, 1])
    names.complete(executor, told)
    assert told == {"env": {"PILOT_UNIT_NODES": node}, "cores": cpus, "pin": pin}
    assert names.cpus(executor, [1]) == cpus[1:]


def test_a_chained_order_has_no_cores_yet(names: NodeNames) -> None:
    told = order(None)
    names.complete(3, told)
    assert told["cores"] is None


def test_gpus_are_told_by_the_names_of_the_node_each_once(names: NodeNames) -> None:
    told = order([0], gpus=[1, 0, 1])
    names.complete(2, told)
    wanted = {"CUDA_VISIBLE_DEVICES": "GPU-b,GPU-a", "ROCR_VISIBLE_DEVICES": "GPU-b,GPU-a"}
    assert told["env"] == {**wanted, "PILOT_UNIT_NODES": "n2"}


def test_ranks_are_told_with_the_names_cpus_and_gpus_of_their_nodes(names: NodeNames) -> None:
    told = order([0, 1], gpus=[0], ranks=[[0, [0], [0]], [0, [1], [1]], [2, [0, 1], [0]]])
    names.complete(0, told)
    assert told["mpi"] == {
        "ranks": [["n1", "4", "0"], ["n1", "6", "1"], ["n3", "0-1", "3"]],
        "pinned": True,
        "launcher": "",
        "srun_type": "pmix",
    }
    assert "ranks" not in told
    assert told["env"] == {"PILOT_UNIT_NODES": "n1,n3"}


def test_ranks_are_pinned_only_where_all_nodes_are_the_pilots_own(names: NodeNames) -> None:
    told = order([0], ranks=[[0, [0], []], [1, [0], []]])
    names.complete(0, told)
    assert told["mpi"]["pinned"] is False
    assert told["mpi"]["ranks"] == [["n1", "4", ""], ["n2", "0", ""]]
