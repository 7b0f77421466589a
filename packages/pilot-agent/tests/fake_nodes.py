"""Nodes of a batch job that are this machine: a stand-in of ``ssh`` starts what is meant for them here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_SSH = """\
#!/bin/sh
# ssh [options] NODE COMMAND, on this machine. A node cannot be reached where a file `broken-NODE` is beside this one, and does not
# answer where there is one `silent-NODE`; where there is one `settings-NODE`, it sees that in place of the agent's settings.
while [ "${1#-}" != "$1" ]; do case $1 in -o) shift 2;; *) shift;; esac; done
node=$1
shift
here=$(dirname "$0")
if [ -e "$here/broken-$node" ]; then
    echo "ssh: connect to host $node port 22: No route to host" >&2
    exit 255
fi
[ -e "$here/silent-$node" ] && exec sleep 600
command=$*
if [ -e "$here/settings-$node" ]; then
    command=$(echo "$command" | sed "s|/[^ ]*/agent.json|$(cat "$here/settings-$node")|")
fi
exec env -u PBS_JOBID -u PBS_NODEFILE FAKE_NODE="$node" sh -c "$command"
"""


def pbs_job(folder: Path, nodes: Mapping[str, int]) -> dict[str, str]:
    """Return the environment of a job of PBS, whose nodes are reached by the stand-in.

    Args:
        folder: A folder for it, which is not there yet.
        nodes: Cores of each node. Agents take the first one for their own.
    """
    folder.mkdir()
    hosts = folder / "hosts"
    hosts.write_text("".join(f"{name}\n" * cores for name, cores in nodes.items()))
    for name, script in (("ssh", _SSH), ("qstat", "#!/bin/sh\nexit 1\n")):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return {
        "PBS_JOBID": "7.head",
        "PBS_NODEFILE": str(hosts),
        "PATH": f"{folder}:{os.environ['PATH']}",
    }


def break_node(folder: Path, node: str) -> None:
    """Let a node be unreachable from now on."""
    (folder / f"broken-{node}").touch()


def silence_node(folder: Path, node: str) -> None:
    """Let a node not answer from now on."""
    (folder / f"silent-{node}").touch()


def blind_node(folder: Path, node: str, settings: Path) -> None:
    """Let a node see another file in place of the agent's settings."""
    (folder / f"settings-{node}").write_text(str(settings))
