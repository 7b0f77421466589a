"""Stand-in commands of PBS Pro (as OpenPBS 23.06 was seen to answer) and of Torque (from manuals and clients).

The invariant: PBS Pro shows ended jobs only in its history, ``qstat -x``; Torque shows them in state C.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .cluster import ENDED, NOTICE, QUEUED, RUNNING, Cluster, Record
from .front import check, default_queue, directives, give_up, minutes, options

VALUED = frozenset({"-N", "-o", "-e", "-l", "-A", "-P", "-q", "-v", "-d", "-j", "-S", "-M", "-m", "-W"})
UNKNOWN, FINISHED, COMPLETE = 153, 35, 170
OVER_WALLTIME = {"pbspro": -29, "torque": -11}
VERSIONS = {"pbspro": "pbs_version = 23.06.06", "torque": "Version: 6.1.2"}


def qsub(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Take a job: ``qsub [options] [FILE]``."""
    given, files = options(arguments, VALUED)
    _refuse_when_down(cluster, "qsub")
    script = (Path(files[0]) if files else Path("/dev/stdin")).read_text()
    lines = [word for line in directives(script, "#PBS") for word in shlex.split(line)]
    asked = options(lines, VALUED)[0] | given
    record = cluster.submit(lambda number: _record(cluster, number, asked, script))
    print(f"{record.number}.{cluster.settings.host}")


def _record(cluster: Cluster, number: int, asked: dict[str, list[str]], script: str) -> Record:
    settings = cluster.settings
    resources = dict(item.split("=", 1) for line in asked.get("-l", []) for item in _items(line))
    queue = asked.get("-q", [default_queue(settings)])[-1]
    walltime = _walltime(resources.get("walltime", "1:00:00"))
    project = asked.get("-A", [""])[-1]
    check(settings, (queue, walltime, project), _refusals(settings.system))
    cores, chunks, lines = _size(resources)
    if settings.system == "torque" and cores > settings.cores:
        give_up("qsub: Job exceeds queue resource limits MSG=cannot locate feasible nodes", 190)
    name = asked.get("-N", ["STDIN"])[-1]
    if settings.system == "torque" and len(name) > 15:
        give_up("qsub: illegal -N value", 1)
    copy = cluster.script(number)
    copy.write_text(script)
    where = os.getcwd()
    output = asked.get("-o", [f"{where}/{name}.o{number}"])[-1]
    error = output if asked.get("-j") == ["oe"] else asked.get("-e", [f"{where}/{name}.e{number}"])[-1]
    return Record(
        number=number,
        name=name,
        queue=queue,
        project=project,
        cores=cores,
        walltime_min=walltime,
        argv=[*asked.get("-S", ["/bin/sh"])[-1:], str(copy)],
        folder=asked.get("-d", [os.path.expanduser("~")])[-1],
        output=output,
        error=error,
        environment=_environment(asked),
        extra={"workdir": where, "chunks": str(chunks), "lines": str(lines)},
    )


def _environment(asked: dict[str, list[str]]) -> dict[str, str]:
    whole = dict(os.environ) if "-V" in asked else {}
    named = [item.partition("=") for line in asked.get("-v", []) for item in line.split(",")]
    return whole | {name: value if equals else os.environ.get(name, "") for name, equals, value in named}


def _items(line: str) -> list[str]:
    """Take ``-l`` apart; a select or nodes statement has no commas."""
    return [item if "=" in item else f"{item}=" for item in line.split(",")]


def _walltime(clock: str) -> float:
    try:
        return minutes(clock)
    except ValueError:
        give_up("qsub: Illegal attribute or resource value Resource_List.walltime", 166)


def _size(resources: dict[str, str]) -> tuple[int, int, int]:
    """Return cores, chunks, and lines of PBS Pro's node file: one for each process that MPI would start."""
    if "size" in resources:
        return int(resources["size"]), 1, 1
    cores = chunks = lines = 0
    for chunk in resources.get("select", resources.get("nodes", "1")).split("+"):
        count = int(found[0]) if (found := re.match(r"\d+(?=:|$)", chunk)) else 1
        each = re.search(r"(?:ncpus|ppn)=(\d+)", chunk)
        processes = re.search(r"mpiprocs=(\d+)", chunk)
        cores += count * (int(each[1]) if each else 1)
        chunks += count
        lines += count * (int(processes[1]) if processes else 1)
    return cores, chunks, lines


def _refusals(system: str) -> dict[str, tuple[str, int]]:
    if system == "pbspro":
        return {
            "queue": ("qsub: Unknown queue", 170),
            "walltime": ("qsub: Job violates queue and/or server resource limits", 188),
            "project": ("qsub: Invalid account", 175),
        }
    return {
        "queue": ("qsub: Unknown queue MSG=cannot locate queue", 170),
        "walltime": (
            "qsub: Job exceeds queue resource limits MSG=cannot satisfy queue max walltime requirement",
            188,
        ),
        "project": ("qsub: Invalid Account MSG=account is not known", 175),
    }


def qstat(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show jobs: ``qstat [-f] [-x] [ID ...]``."""
    given, ids = options(arguments, ())
    if "--version" in given:
        print(f"{VERSIONS[cluster.settings.system]}\n# {NOTICE}")
        return
    letters = "".join(given).replace("-", "")
    _refuse_when_down(cluster, "qstat")
    code = 0
    for job in ids or [f"{record.number}.{cluster.settings.host}" for record in cluster.jobs()]:
        code = _show(cluster, job, full="f" in letters, history="x" in letters, listed=not ids) or code
    raise SystemExit(code)


def _show(cluster: Cluster, job: str, *, full: bool, history: bool, listed: bool) -> int:
    record = _find(cluster, job)
    if record is None:
        return _complain(cluster, "qstat", job)
    finished = record.state == ENDED and cluster.settings.system == "pbspro" and not history
    if finished and not listed:
        hint = "use -x or -H to obtain historical job information"
        print(f"qstat: {job} Job has finished, {hint}", file=sys.stderr)
        return FINISHED
    if full and not finished:
        print(_block(cluster, record))
    elif not finished:
        state = _letter(cluster, record)
        print(
            f"{record.number}.{cluster.settings.host:<12} {record.name:<16} {'user':<16} 0 {state} {record.queue}"
        )
    return 0


def _block(cluster: Cluster, record: Record) -> str:
    lines = {"Job_Name": record.name, "job_state": _letter(cluster, record), "queue": record.queue}
    lines |= {"ctime": _time(record.submitted), "qtime": _time(record.submitted)}
    host = cluster.settings.host
    if record.started:
        lines["stime" if cluster.settings.system == "pbspro" else "start_time"] = _time(record.started)
        hosts = f"{host}/0*{record.cores}", "+".join(f"{host}/{core}" for core in range(record.cores))
        lines["exec_host"] = hosts[cluster.settings.system == "torque"]
        lines |= _limits(cluster, record)
    elif record.cores > cluster.settings.cores:
        lines["comment"] = f"Can Never Run: Insufficient amount of resource: ncpus (R: {record.cores})"
    if record.state == ENDED:
        lines["mtime"] = _time(record.ended)
    if record.state == ENDED and record.started:
        lines["Exit_status" if cluster.settings.system == "pbspro" else "exit_status"] = _status(
            cluster, record
        )
    body = "".join(f"    {_fold(f'{key} = {value}')}\n" for key, value in lines.items())
    return f"Job Id: {record.number}.{host}\n{body}"


def _limits(cluster: Cluster, record: Record) -> dict[str, str]:
    """Return what a job that has begun may use; ``Walltime.Remaining`` is Torque's, in seconds."""
    whole = int(record.walltime_min)
    lines = {"Resource_List.walltime": f"{whole // 60:02}:{whole % 60:02}:00"}
    if cluster.settings.system == "pbspro":
        return lines | {"run_count": "1", "Submit_Host": cluster.settings.host}
    left_s = max(0, int(record.started + record.walltime_min * cluster.settings.minute_s - time.time()))
    return lines | {
        "start_count": "1",
        "submit_host": cluster.settings.host,
        "Walltime.Remaining": str(left_s),
    }


def _fold(line: str) -> str:
    return "\n\t".join(line[start : start + 75] for start in range(0, len(line), 75))


def _status(cluster: Cluster, record: Record) -> str:
    if record.reason == "walltime":
        return str(OVER_WALLTIME[cluster.settings.system])
    return str(record.code if record.signal is None else 256 + record.signal)


def _letter(cluster: Cluster, record: Record) -> str:
    ended = "F" if cluster.settings.system == "pbspro" else "C"
    return {QUEUED: "Q", RUNNING: "R", ENDED: ended}[record.state]


def _time(moment: float) -> str:
    return time.ctime(moment)


def qdel(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Remove jobs: ``qdel ID ...``."""
    _refuse_when_down(cluster, "qdel")
    code = 0
    for job in arguments:
        record = _find(cluster, job)
        if record is None:
            code = _complain(cluster, "qdel", job)
        elif record.state == ENDED:
            code = _too_late(cluster, job)
        else:
            cluster.cancel(record.number)
    raise SystemExit(code)


def _too_late(cluster: Cluster, job: str) -> int:
    pbspro = cluster.settings.system == "pbspro"
    text = (
        "Job has finished"
        if pbspro
        else "Request invalid for state of job MSG=invalid state for job - COMPLETE"
    )
    print(f"qdel: {text} {job}", file=sys.stderr)
    return FINISHED if pbspro else COMPLETE


def pbsnodes(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show the nodes: ``pbsnodes -a``."""
    if "--version" in arguments:
        print(f"{VERSIONS[cluster.settings.system]}\n# {NOTICE}")
        return
    _refuse_when_down(cluster, "pbsnodes")
    host, cores = cluster.settings.host, cluster.settings.cores
    if cluster.settings.system == "torque":
        print(f"{host}\n     state = free\n     np = {cores}\n")
        return
    own = f"resources_available.host = {host}\n     resources_available.ncpus = {cores}"
    print(
        f"{host}\n     Mom = {host}\n     ntype = PBS\n     state = free\n     pcpus = {cores}\n     {own}\n"
    )


def _find(cluster: Cluster, job: str) -> Record | None:
    number, _, host = job.partition(".")
    known = number.isdigit() and host in {"", cluster.settings.host}
    return cluster.job(int(number)) if known else None


def _complain(cluster: Cluster, command: str, job: str) -> int:
    number, _, _ = job.partition(".")
    if not number.isdigit():
        print(f"{command}: illegally formed job identifier: {job}", file=sys.stderr)
        return 1
    text = "Unknown Job Id" if cluster.settings.system == "pbspro" else "Unknown Job Id Error"
    print(f"{command}: {text} {number}.{cluster.settings.host}", file=sys.stderr)
    return UNKNOWN


def _refuse_when_down(cluster: Cluster, command: str) -> None:
    if cluster.is_down:
        host = cluster.settings.host
        errno = "15010" if cluster.settings.system == "pbspro" else "111"
        give_up(f"Connection refused\n{command}: cannot connect to server {host} (errno={errno})", 255)


COMMANDS = {"qsub": qsub, "qstat": qstat, "qdel": qdel, "pbsnodes": pbsnodes}
