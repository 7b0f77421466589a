"""Stand-in commands of Cobalt: what radical.saga gives them and reads of them; never compared with a real one.

Cobalt hands out whole nodes: a core of the cluster counts as a node. The invariant: ``qstat`` shows no job that has ended; its
end is in ``<id>.cobaltlog`` in its folder.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from .cluster import ENDED, NOTICE, QUEUED, Cluster, Record
from .front import check, default_queue, directives, give_up, minutes, options

LONG = {
    "-N": "--jobname", "-n": "--nodecount", "-t": "--time", "-q": "--queue", "-A": "--project", "-o": "--output",
    "-e": "--error",
}  # fmt: skip
VALUED = frozenset(
    {*LONG, *LONG.values(), "--mode", "--cwd", "--proccount", "--attrs", "--env", "--notify", "--header"}
)


def qsub(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Take a job: ``qsub --mode script FILE``."""
    given, files = options(arguments, VALUED)
    _answer_version(given)
    _refuse_when_down(cluster)
    if given.get("--mode") != ["script"] or not files:
        give_up("qsub: this stand-in takes --mode script FILE only")
    if not os.access(files[0], os.X_OK):
        give_up(f"command {files[0]} not found, or is not executable")
    words = [word for line in directives(Path(files[0]).read_text(), "#COBALT") for word in shlex.split(line)]
    both = [options(words, VALUED)[0], given]
    asked = {LONG.get(name, name): values for source in both for name, values in source.items()}
    record = cluster.submit(lambda number: _record(cluster, number, asked, os.path.abspath(files[0])))
    print(f"Job routed to queue {record.queue!r}.\n{record.number}")


def _record(cluster: Cluster, number: int, asked: dict[str, list[str]], script: str) -> Record:
    queue = asked.get("--queue", [default_queue(cluster.settings)])[-1]
    walltime = minutes(asked.get("--time", ["60"])[-1])
    project = asked.get("--project", [""])[-1]
    refusals = {
        "queue": (
            f"Queue {queue!r} is not available. Known queues are {', '.join(cluster.settings.queues)}",
            1,
        ),
        "walltime": (f"Walltime greater than the 'maxtime' of queue {queue!r}", 1),
        "project": (f"Project {project!r} is not valid", 1),
    }
    check(cluster.settings, (queue, walltime, project), refusals)
    where = asked.get("--cwd", [os.getcwd()])[-1].replace("$HOME", os.path.expanduser("~"))
    pairs = [item.partition("=") for line in asked.get("--env", []) for item in re.split(r"(?<!\\):", line)]
    return Record(
        number=number,
        name=asked.get("--jobname", [str(number)])[-1],
        queue=queue,
        project=project,
        cores=int(asked.get("--nodecount", ["1"])[-1]),
        walltime_min=walltime,
        argv=[script],
        folder=where,
        output=os.path.join(where, asked.get("--output", [f"{number}.output"])[-1]),
        error=os.path.join(where, asked.get("--error", [f"{number}.error"])[-1]),
        environment={name: re.sub(r"\\(.)", r"\1", value) for name, _, value in pairs},
    )


def qstat(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show jobs: ``qstat [--full --long] [ID ...]``."""
    given, ids = options(arguments, VALUED)
    _answer_version(given)
    _refuse_when_down(cluster)
    records = [
        record
        for record in cluster.jobs()
        if record.state != ENDED and (not ids or str(record.number) in ids)
    ]
    if not records:
        raise SystemExit(1 if ids else 0)
    if "--long" not in given and "-l" not in given:
        print("JobID  User  WallTime  Nodes  State  Location\n" + "=" * 45)
    for record in records:
        fields = _fields(cluster, record)
        if "--long" in given or "-l" in given:
            print(f"JobID: {record.number}")
            print("".join(f"    {key:<18}: {value}\n" for key, value in fields.items()))
        else:
            print(
                "  ".join(
                    [str(record.number), fields["User"], fields["WallTime"], fields["Nodes"], fields["State"]]
                )
            )


def _fields(cluster: Cluster, record: Record) -> dict[str, str]:
    queued = record.state == QUEUED
    seconds = int(time.time() - record.started) if record.started else 0
    return {
        "JobName": record.name,
        "User": os.environ.get("USER", "user"),
        "WallTime": _clock(60 * record.walltime_min),
        "QueuedTime": "00:00:00",
        "RunTime": "N/A" if queued else _clock(seconds),
        "TimeRemaining": "N/A" if queued else _clock(60 * record.walltime_min - seconds),
        "Nodes": str(record.cores),
        "State": "queued" if queued else "running",
        "Procs": str(record.cores),
        "Location": "None" if queued else cluster.settings.host,
        "StartTime": "N/A" if queued else _time(record.started),
        "SubmitTime": _time(record.submitted),
        "S": "Q" if queued else "R",
    }


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"


def _time(moment: float) -> str:
    return time.strftime("%a %b %d %H:%M:%S %Y +0000 (UTC)", time.gmtime(moment))


def qdel(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Remove jobs: ``qdel ID ...``."""
    given, ids = options(arguments, VALUED)
    _answer_version(given)
    _refuse_when_down(cluster)
    for job in ids:
        record = cluster.job(int(job)) if job.isdigit() else None
        if record is None or record.state == ENDED:
            give_up(f"      Deleted Jobs\nJobID {job} is not known")
        cluster.cancel(record.number)
        print(f"      Deleted Jobs\nJobID  User\n============\n{job}  {os.environ.get('USER', 'user')}")


def nodes(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show what there is: ``nodelist``, ``partlist``."""
    _answer_version(options(arguments, VALUED)[0])
    _refuse_when_down(cluster)
    print(f"Host  Queue  State\n{cluster.settings.host}  {':'.join(cluster.settings.queues)}  idle")


def _answer_version(given: dict[str, list[str]]) -> None:
    if "--version" in given:
        print(f"version: 1.0.37 # {NOTICE}")
        raise SystemExit(0)


def _refuse_when_down(cluster: Cluster) -> None:
    if cluster.is_down:
        give_up("Failed to connect to queue manager")


COMMANDS = {"qsub": qsub, "qstat": qstat, "qdel": qdel, "nodelist": nodes, "partlist": nodes}
