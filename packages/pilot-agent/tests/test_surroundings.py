"""What units inherit on nodes that are not the head's."""

from __future__ import annotations

import pytest

from pilot_agent.node.surroundings import unit_environment_of_node


@pytest.mark.parametrize(
    ("name", "own", "heads", "inherited"),
    [
        ("PATH", "/bin", "/opt/bin:/bin", "/opt/bin:/bin"),
        ("MODULES", None, "gcc", "gcc"),
        ("LOCAL_ONLY", "here", None, "here"),
        ("HOSTNAME", "node2", "node1", "node2"),
        ("TMPDIR", None, "/tmp/job7", None),
        ("SLURMD_NODENAME", "node2", "node1", "node2"),
        ("SLURM_NODEID", "1", "0", "1"),
        ("SLURM_JOB_ID", "7", "7", "7"),
        ("SLURM_NTASKS", "3", "8", "8"),
        ("SLURM_STEP_ID", "0", None, None),
        ("PMI_RANK", "1", None, None),
        ("CUDA_VISIBLE_DEVICES", "2,3", "0,1", "2,3"),
        ("SSH_CONNECTION", "a b", "c d", "a b"),
        ("PILOT_ID", "p-1", None, None),
    ],
)
def test_a_unit_inherits_what_the_job_has_but_what_is_about_the_node(
    name: str, own: str | None, heads: str | None, inherited: str | None
) -> None:
    def environment(value: str | None) -> dict[str, str]:
        return {} if value is None else {name: value}

    assert unit_environment_of_node(environment(own), environment(heads)).get(name) == inherited
