"""Stand-in commands of LoadLeveler: what radical.saga gives them and reads of them; never compared with a real one.

The invariant: ``llq`` shows no job that has ended.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from .cluster import ENDED, NOTICE, QUEUED, RUNNING, Cluster, Record
from .front import check, default_queue, give_up, minutes, options, shell_of

VALUED = frozenset({"-j", "-X", "-u", "-l"})
NO_JOB = "llq: There is currently no job status to report."
FORMATS = frozenset({"%st", "%dd", "%cc", "%jt", "%c", "%Xs", "%id", "%jn", "%o", "%h"})


def llsubmit(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Take a job: ``llsubmit FILE``."""
    given, files = options(arguments, VALUED)
    _answer_version(given)
    _refuse_when_down(cluster, "llsubmit")
    if not files:
        give_up("llsubmit: No job command file is given.")
    script = Path(files[0]).read_text()
    keywords = _keywords(script)
    record = cluster.submit(lambda number: _record(cluster, number, keywords, script))
    print(f'llsubmit: The job "{cluster.settings.host}.{record.number}" has been submitted.')


def _keywords(script: str) -> dict[str, str]:
    pairs = re.findall(r"^#\s*@\s*([\w.]+)\s*(?:=\s*(.*?))?\s*$", script, re.MULTILINE)
    keywords = {key.lower(): value for key, value in pairs}
    if "queue" not in keywords:
        give_up(
            "llsubmit: The job command file has no queue statement. This job has not been submitted to LoadLeveler."
        )
    return keywords


def _record(cluster: Cluster, number: int, keywords: dict[str, str], script: str) -> Record:
    settings = cluster.settings
    queue = keywords.get("class", default_queue(settings))
    walltime = minutes(keywords.get("wall_clock_limit", "60").split(",")[0])
    project = keywords.get("account_no", "")
    end = "This job has not been submitted to LoadLeveler."
    refusals = {
        "queue": (f'llsubmit: The class "{queue}" is not valid. {end}', 1),
        "walltime": (f'llsubmit: The "wall_clock_limit" exceeds the limit of class "{queue}". {end}', 1),
        "project": (f'llsubmit: The account number "{project}" is not valid. {end}', 1),
    }
    check(settings, (queue, walltime, project), refusals)
    copy = cluster.script(number)
    copy.write_text(script)
    where = keywords.get("initialdir", os.getcwd())
    names = {
        key: os.path.join(where, keywords[key]) if key in keywords else "" for key in ("output", "error")
    }
    pairs = [item.partition("=") for item in keywords.get("environment", "").split(";") if "=" in item]
    return Record(
        number=number,
        name=keywords.get("job_name", f"{settings.host}.{number}"),
        queue=queue,
        project=project,
        cores=int(keywords.get("total_tasks", "1")),
        walltime_min=walltime,
        argv=[*shell_of(script, "/bin/bash"), str(copy)],
        folder=where,
        output=names["output"],
        error=names["error"],
        environment={name.strip(): value.strip() for name, _, value in pairs},
        extra={"type": keywords.get("job_type", "Serial")},
    )


def llq(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Show jobs: ``llq [-j ID] [-l ID] [-r FORMAT ...]``."""
    formats = [word for word in arguments if word in FORMATS]
    given, _ = options([word for word in arguments if word not in FORMATS], VALUED)
    _answer_version(given)
    _refuse_when_down(cluster, "llq")
    asked = given.get("-j") or given.get("-l")
    records = [record for record in cluster.jobs() if record.state != ENDED]
    if asked is not None:
        records = [record for record in records if _is(cluster, record, asked[0])]
    if not records:
        print(NO_JOB)
        return
    for record in records:
        print(_shown(cluster, record, given, formats))


def _shown(cluster: Cluster, record: Record, given: dict[str, list[str]], formats: Sequence[str]) -> str:
    columns = _columns(cluster, record)
    if "-l" in given:
        return _long(record, columns)
    return "!".join(columns[name] for name in formats) if "-r" in given else _row(cluster, record, columns)


def _long(record: Record, columns: dict[str, str]) -> str:
    whole = int(record.walltime_min)
    limit = f"{whole // 60:02}:{whole % 60:02}:00 ({60 * whole} seconds)"
    lines = {
        "Job Step Id": columns["%id"],
        "Status": "Running" if record.started else "Idle",
        "Dispatch Time": columns["%dd"],
        "Wall Clk Hard Limit": limit,
        "Wall Clk Soft Limit": limit,
    }
    body = "".join(f"{key:>19}: {value}\n" for key, value in lines.items())
    return f"=============== Job Step {columns['%id']} ===============\n{body}"


def _is(cluster: Cluster, record: Record, job: str) -> bool:
    name = f"{cluster.settings.host}.{record.number}"
    return job in {name, f"{name}.0", str(record.number)}


def _columns(cluster: Cluster, record: Record) -> dict[str, str]:
    started = time.strftime("%m/%d/%Y %H:%M", time.localtime(record.started)) if record.started else ""
    return {
        "%st": {QUEUED: "I", RUNNING: "R"}[record.state],
        "%dd": started,
        "%cc": "",
        "%jt": record.extra["type"],
        "%c": record.queue,
        "%Xs": "",
        "%id": f"{cluster.settings.host}.{record.number}.0",
        "%jn": record.name,
        "%o": os.environ.get("USER", "user"),
        "%h": cluster.settings.host if record.started else "",
    }


def _row(cluster: Cluster, record: Record, columns: dict[str, str]) -> str:
    submitted = time.strftime("%m/%d %H:%M", time.localtime(record.submitted))
    host = cluster.settings.host if record.started else ""
    return f"{columns['%id']:<24} {columns['%o']:<10} {submitted} {columns['%st']:<2} 50  {record.queue:<12} {host}"


def llcancel(cluster: Cluster, arguments: Sequence[str]) -> None:
    """Remove jobs: ``llcancel ID ...``."""
    given, ids = options(arguments, VALUED)
    _answer_version(given)
    _refuse_when_down(cluster, "llcancel")
    for job in ids:
        found = [record for record in cluster.jobs() if _is(cluster, record, job) and record.state != ENDED]
        if not found:
            give_up(f"llcancel: Cannot find the job {job}.")
        cluster.cancel(found[0].number)
        print("llcancel: Cancel command has been sent to the central manager.")


def _answer_version(given: dict[str, list[str]]) -> None:
    if {"-v", "--version"} & set(given):
        print(f"version: 5.1.0.0\n# {NOTICE}")
        raise SystemExit(0)


def _refuse_when_down(cluster: Cluster, command: str) -> None:
    if cluster.is_down:
        give_up(
            f'{command}: 2539-463 Cannot connect to {cluster.settings.host} "LoadL_schedd" on port 9605. errno = 79'
        )


COMMANDS = {"llsubmit": llsubmit, "llq": llq, "llcancel": llcancel}
