"""How a batch system is told to start a node's executor, word by word."""

from __future__ import annotations

import shlex

import pytest

from pilot_agent.lrms.node_commands import LAUNCHERS, NodeCommand, launcher_of, node_commands

WORDS = ["/opt/py thon/bin/python", "-m", "pilot_agent", "node", "--head", "10.0.0.1:4711,head:4711"]
LINE = "'/opt/py thon/bin/python' -m pilot_agent node --head 10.0.0.1:4711,head:4711 --name n2"

GOLDEN = {
    "srun": "srun --nodes 2 --ntasks 2 --ntasks-per-node 1 --nodelist n2,n3 --overlap --mem=0 --cpu-bind=none --mpi=none "
    "--no-kill --kill-on-bad-exit=0 --wait=0 --input=none "
    "'/opt/py thon/bin/python' -m pilot_agent node --head 10.0.0.1:4711,head:4711",
    "aprun": "aprun -n 2 -N 1 -cc none -b -L n2,n3 "
    "'/opt/py thon/bin/python' -m pilot_agent node --head 10.0.0.1:4711,head:4711",
    "ssh": "ssh -n -T -x -a -o BatchMode=yes -o ConnectTimeout=15 -o ControlMaster=no -o ControlPath=none -o LogLevel=ERROR "
    "n2 " + shlex.quote(f"exec {LINE}"),
    "qrsh": f"qrsh -inherit -nostdin n2 {shlex.quote(LINE)}",
    "pbsdsh": f"pbsdsh -h n2 {LINE}",
    "pbs_tmrsh": f"pbs_tmrsh n2 {shlex.quote(LINE)}",
    "blaunch": f"blaunch -n -no-shell n2 {LINE}",
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_launcher_is_called_so(launcher: str) -> None:
    commands = node_commands(launcher, ["n2", "n3"], WORDS)
    assert shlex.join(commands[0].argv) == GOLDEN[launcher]
    assert [node for command in commands for node in command.nodes] == ["n2", "n3"]


def test_a_command_of_one_node_is_told_its_name() -> None:
    assert node_commands("pbsdsh", ["n2", "n3"], ["x"]) == [
        NodeCommand(["pbsdsh", "-h", "n2", "x", "--name", "n2"], ("n2",)),
        NodeCommand(["pbsdsh", "-h", "n3", "x", "--name", "n3"], ("n3",)),
    ]


@pytest.mark.parametrize(
    ("system", "programs", "launcher"),
    [
        ("slurm", {"srun", "ssh"}, "srun"),
        ("pbs", {"pbs_tmrsh", "pbsdsh"}, "pbs_tmrsh"),
        ("pbs", {"pbsdsh"}, "pbsdsh"),
        ("pbs", {"ssh"}, "ssh"),
        ("sge", {"qrsh"}, "qrsh"),
        ("lsf", {"blaunch"}, "blaunch"),
        ("cobalt", {"aprun"}, "aprun"),
        ("cobalt", set(), "ssh"),
        ("loadl", {"srun"}, "ssh"),
        ("", {"srun"}, "ssh"),
    ],
)
def test_a_batch_system_has_its_own_launcher_where_it_can_be_called(
    system: str, programs: set[str], launcher: str
) -> None:
    assert launcher_of(system, programs.__contains__) == launcher
