"""Stand-in commands of LSF 10.1, from its manuals and what clients expect of it; never compared with a real one.

The invariant: the environment of ``bsub`` goes with a job unless ``-env "none"`` is given, as in LSF.
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
from .front import check, default_queue, directives, give_up, minutes, options, shell_of

VALUED = frozenset(
    "-J -o -oo -e -eo -W -n -R -q -P -m -gpu -env -cwd -nnodes -alloc_flags -U -u -L -g".split()  # noqa: SIM905
)
DOWN = "LSF is down. Please wait ...; Failed in an LSF library call: LIM is down; try later"


def bsub(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Take a job: ``bsub [options] [FILE]``, or the script on standard input."""
    given, files = options(arguments, VALUED)
    _answer_version(given)
    _refuse_when_down(cluster, "Job not submitted.")
    script = Path(files[0]).read_text() if files else sys.stdin.read()
    lines = [word for line in directives(script, "#BSUB") for word in shlex.split(line)]
    asked = options(lines, VALUED)[0] | given
    record = cluster.submit(lambda number: _record(cluster, number, asked, script))
    default = "" if "-q" in asked else "default "
    print(f"Job <{record.number}> is submitted to {default}queue <{record.queue}>.")


def _record(cluster: Cluster, number: int, asked: dict[str, list[str]], script: str) -> Record:
    settings = cluster.settings
    queue = asked.get("-q", [default_queue(settings)])[-1]
    walltime = minutes(asked.get("-W", ["60"])[-1])
    project = asked.get("-P", ["default"])[-1]
    refusals = {
        "queue": (f"{queue}: No such queue. Job not submitted.", 255),
        "walltime": ("RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.", 255),
        "project": (f"{project}: No such project. Job not submitted.", 255),
    }
    check(settings, (queue, walltime, project), refusals)
    copy = cluster.script(number)
    copy.write_text(script)
    where = asked.get("-cwd", [os.getcwd()])[-1]
    output = _path(where, asked.get("-o", asked.get("-oo", [""]))[-1], number)
    return Record(
        number=number,
        name=asked.get("-J", ["script"])[-1],
        queue=queue,
        project=project,
        cores=int(asked.get("-n", ["1"])[-1]),
        walltime_min=walltime,
        argv=[*shell_of(script, "/bin/sh"), str(copy)],
        folder=where,
        output=output,
        error=_path(where, asked.get("-e", asked.get("-eo", [""]))[-1], number),
        environment={} if asked.get("-env") == ["none"] else dict(os.environ),
    )


def _path(where: str, name: str, number: int) -> str:
    return os.path.join(where, name.replace("%J", str(number))) if name else ""


def bjobs(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show jobs: ``bjobs [-a] [-noheader] [-o FORMAT] [ID ...]``."""
    given, ids = options(arguments, {"-o", "-u", "-q"})
    _answer_version(given)
    _refuse_when_down(cluster, "")
    form = given.get("-o", [""])[-1]
    rows = []
    code = 0
    for job in ids or [
        str(record.number) for record in cluster.jobs() if "-a" in given or record.state != ENDED
    ]:
        record = cluster.job(int(job)) if job.isdigit() else None
        if record is None:
            print(
                f"Job <{job}> is not found" if job.isdigit() else f"{job}: Illegal job ID.", file=sys.stderr
            )
            code = 255
        else:
            rows.append(_columns(cluster, record))
    _print_rows(rows, form, header="-noheader" not in given)
    raise SystemExit(code)


def _print_rows(rows: list[dict[str, str]], form: str, *, header: bool) -> None:
    found = re.search(r"delimiter=['\"](.)['\"]", form)
    delimiter = found[1] if found else " "
    default = "jobid user stat queue from_host exec_host job_name submit_time"
    fields = re.sub(r"delimiter=\S+", "", form).split() or default.split()
    lines = [[row[name] for name in fields] for row in rows]
    for line in ([name.upper() for name in fields], *lines) if header and rows else lines:
        print(delimiter.join(line))


def _columns(cluster: Cluster, record: Record) -> dict[str, str]:
    code = record.code if record.signal is None else 128 + record.signal
    stat = {QUEUED: "PEND", RUNNING: "RUN", ENDED: "EXIT" if code or record.reason else "DONE"}[record.state]
    reasons = {
        "cancelled": "TERM_OWNER: job killed by owner",
        "walltime": "TERM_RUNLIMIT: job killed after reaching LSF run time limit",
    }
    return {
        "jobid": str(record.number),
        "user": os.environ.get("USER", "user"),
        "stat": stat,
        "queue": record.queue,
        "from_host": cluster.settings.host,
        "exec_host": cluster.settings.host if record.started else "-",
        "job_name": record.name,
        "command": record.name,
        "exit_code": str(code) if code else "-",
        "exit_reason": reasons.get(record.reason, "-"),
        "time_left": _time_left(cluster, record),
        "submit_time": time.strftime("%b %d %H:%M", time.localtime(record.submitted)),
        "start_time": time.strftime("%b %d %H:%M", time.localtime(record.started)) if record.started else "-",
        "finish_time": time.strftime("%b %d %H:%M", time.localtime(record.ended)) if record.ended else "-",
    }


def _time_left(cluster: Cluster, record: Record) -> str:
    """Return hours and minutes until the limit, as ``bjobs -o time_left`` has them."""
    if record.state != RUNNING:
        return "-"
    left_min = record.walltime_min - (time.time() - record.started) / cluster.settings.minute_s
    whole = max(0, int(left_min))
    return f"{whole // 60}:{whole % 60} L"


def bkill(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Remove jobs: ``bkill ID ...``."""
    given, ids = options(arguments, {"-s"})
    _answer_version(given)
    _refuse_when_down(cluster, "")
    code = 0
    for job in ids:
        record = cluster.job(int(job)) if job.isdigit() else None
        if record is not None and record.state != ENDED:
            cluster.cancel(record.number)
            print(f"Job <{job}> is being terminated")
            continue
        text = "No matching job found" if record is None else "Job has already finished"
        print(f"Job <{job}>: {text}", file=sys.stderr)
        code = 255
    raise SystemExit(code)


def bqueues(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show the queues."""
    _answer_version(options(arguments, ())[0])
    _refuse_when_down(cluster, "")
    print("QUEUE_NAME      PRIO STATUS          MAX JL/U JL/P JL/H NJOBS  PEND   RUN  SUSP")
    for queue in cluster.settings.queues:
        jobs = [record.state for record in cluster.jobs() if record.queue == queue and record.state != ENDED]
        pending, running = jobs.count(QUEUED), jobs.count(RUNNING)
        print(
            f"{queue:<15} {30:>4} {'Open:Active':<15} {'-    -    -    -':>16} "
            f"{len(jobs):>5} {pending:>5} {running:>5} {0:>5}"
        )


def _answer_version(given: dict[str, list[str]]) -> None:
    if {"-V", "--version"} & set(given):
        print(f"IBM Spectrum LSF 10.1.0.0\n# {NOTICE}")
        raise SystemExit(0)


def _refuse_when_down(cluster: Cluster, more: str) -> None:
    if cluster.is_down:
        give_up(f"{DOWN}. {more}".strip(), 255)


COMMANDS = {"bsub": bsub, "bjobs": bjobs, "bkill": bkill, "bqueues": bqueues}
