"""Stand-in commands of HTCondor, from its manuals and what clients expect of it; never compared with a real one.

The invariant: a job that has ended is in the history and not in the queue.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from .cluster import ENDED, NOTICE, QUEUED, Cluster, Record
from .front import check, default_queue, give_up, options

UNIVERSES = {"vanilla", "local"}
STATUS = {QUEUED: 1, "running": 2, ENDED: 4}
REMOVED = 3
VALUED = frozenset({"-match", "-limit", "-constraint", "-name", "-pool"})
OVER_WALLTIME = "The job attribute PeriodicRemove expression evaluated to TRUE"


def condor_submit(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Take a job: ``condor_submit [-verbose] [FILE]``, or the description on standard input."""
    given, files = options(arguments, ())
    _answer_version(given)
    if cluster.is_down:
        give_up("\nERROR: Can't find address of local schedd")
    text = Path(files[0]).read_text() if files else sys.stdin.read()
    described = _description(text)
    record = cluster.submit(lambda number: _record(cluster, number, described))
    if "-verbose" in given:
        print(f"\n** Proc {record.number}.0:")
    else:
        print(f"Submitting job(s).\n1 job(s) submitted to cluster {record.number}.")


def _description(text: str) -> dict[str, str]:
    if not re.search(r"^\s*queue\b", text, re.MULTILINE | re.IGNORECASE):
        give_up("ERROR: no 'queue' statement in the submit description")
    pairs = re.findall(r"^\s*(\+?\w+)\s*=\s*(.*?)\s*$", text, re.MULTILINE)
    return {key.lower(): value.replace("$(DOLLAR)", "$") for key, value in pairs}


def _record(cluster: Cluster, number: int, described: dict[str, str]) -> Record:
    universe = described.get("universe", "vanilla")
    if universe not in UNIVERSES:
        give_up(f"\nERROR: I don't know about the '{universe}' universe.")
    project = described.get("accounting_group", "")
    check(
        cluster.settings,
        (default_queue(cluster.settings), 0.0, project),
        {"project": (_no_group(project), 1)},
    )
    where = described.get("initialdir", os.getcwd())
    program = os.path.join(where, described["executable"])
    if not os.access(program, os.X_OK):
        give_up(f"\nERROR: Executable file {program} does not exist or is not executable")
    files = {
        key: os.path.join(where, described[key]) if key in described else ""
        for key in ("output", "error", "log")
    }
    if files["log"]:
        Path(files["log"]).write_text(
            f"000 ({number:03}.000.000) Job submitted from host: <127.0.0.1:9618>\n...\n"
        )
    limit = re.search(r"> *(\d+)", described.get("periodic_remove", ""))
    return Record(
        number=number,
        name=described.get("+jobbatchname", "").strip('"'),
        queue=universe,
        project=project,
        cores=int(described.get("request_cpus", "1")),
        walltime_min=int(limit[1]) / 60 if limit else 1e6,
        argv=[program, *shlex.split(described.get("arguments", "").strip('"'))],
        folder=where,
        output=files["output"],
        error=files["error"],
        environment=dict(os.environ) if described.get("getenv", "").lower() == "true" else {},
        extra={"log": files["log"]},
    )


def _no_group(project: str) -> str:
    return f"\nERROR: Failed to commit job submission into the queue: accounting group {project!r} is not allowed"


def condor_q(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show the jobs in the queue: ``condor_q [-long] [ID ...] [-af:, ATTRIBUTE ...]``."""
    if cluster.is_down and "-version" not in arguments:
        give_up(
            "\n-- Failed to fetch ads from: <127.0.0.1:9618> : head\nCEDAR:6001:Failed to connect to <127.0.0.1:9618>"
        )
    _show(arguments, [record for record in cluster.jobs() if record.state != ENDED])


def condor_history(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show the jobs that have ended: they are in a file, which needs no server."""
    _show(arguments, [record for record in cluster.jobs() if record.state == ENDED][::-1])


def _show(arguments: Sequence[str], records: Sequence[Record]) -> None:
    head, form, names = _split(arguments)
    given, ids = options(head, VALUED)
    _answer_version(given)
    limit = int((given.get("-limit") or given.get("-match") or ["-1"])[0])
    asked = {job.removesuffix(".0") for job in ids}
    chosen = [record for record in records if not ids or str(record.number) in asked]
    for record in chosen[: limit if limit >= 0 else None]:
        print(_line(record, form, names))


def _split(arguments: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Take the attributes off the end of a command line."""
    for position, word in enumerate(arguments):
        if word.startswith(("-af", "-autoformat")):
            return list(arguments[:position]), word.partition(":")[2], list(arguments[position + 1 :])
    return list(arguments), "", []


def _line(record: Record, form: str, names: Sequence[str]) -> str:
    attributes = _attributes(record)
    if not names:
        return "".join(f"{key} = {value}\n" for key, value in attributes.items())
    return (", " if "," in form else " ").join(attributes.get(name, "undefined") for name in names)


def _attributes(record: Record) -> dict[str, str]:
    status = REMOVED if record.reason else STATUS[record.state]
    ad = {
        "ClusterId": str(record.number),
        "ProcId": "0",
        "JobStatus": str(status if record.state == ENDED else STATUS[record.state]),
        "QDate": f"{record.submitted:.0f}",
        "CompletionDate": f"{record.ended:.0f}",
        "Out": record.output,
        "Err": record.error,
    }
    if record.started:
        ad["JobCurrentStartDate"] = f"{record.started:.0f}"
    if record.state == ENDED and not record.reason:
        ad["ExitBySignal"] = "false" if record.signal is None else "true"
        ad |= {"ExitCode": str(record.code)} if record.signal is None else {"ExitSignal": str(record.signal)}
    if record.reason:
        ad["RemoveReason"] = OVER_WALLTIME if record.reason == "walltime" else "via condor_rm (by user user)"
    return ad


def condor_rm(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Remove jobs: ``condor_rm ID ...``."""
    given, ids = options(arguments, VALUED)
    _answer_version(given)
    if cluster.is_down:
        give_up("condor_rm: ERROR: Can't find address of local schedd")
    code = 0
    for job in ids:
        number = job.removesuffix(".0")
        record = cluster.job(int(number)) if number.isdigit() else None
        if record is not None and record.state != ENDED:
            cluster.cancel(record.number)
            print(f"Job {number}.0 marked for removal")
            continue
        print(
            f"Job {number}.0 not found" if "." in job else f"Couldn't find/remove all jobs in cluster {job}"
        )
        code = 1
    raise SystemExit(code)


def condor_version(_cluster: Cluster, _arguments: Sequence[str]) -> None:
    """Say which version this is."""
    _answer_version({"-version": []})


def _answer_version(given: dict[str, list[str]]) -> None:
    if {"-version", "--version"} & set(given):
        print(f"$CondorVersion: 23.0.0 $\n$CondorPlatform: STAND-IN $\n# {NOTICE}")
        raise SystemExit(0)


COMMANDS = {
    "condor_submit": condor_submit,
    "condor_q": condor_q,
    "condor_history": condor_history,
    "condor_rm": condor_rm,
    "condor_version": condor_version,
}
