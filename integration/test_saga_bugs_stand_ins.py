"""What radical.saga does wrong with LoadLeveler and Cobalt: each bug that is put right, so that its end does not go unnoticed.

Shown on stand-ins, with radical.saga as it is shipped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fake_batch
from saga_guard import run_saga
from saga_trials import need_saga

Run = Callable[[str], Any]

DESCRIBED = """
import time
def job(line, **more):
    return service.create_job(describe(
        executable=line, name="x", working_directory=box, output=box + "/out", error=box + "/err", total_cpu_count=1,
        wall_time_limit=5, **more))
def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)
run_sync = service._adaptor.shell.run_sync
"""
ALLOWED = """
from radical.saga.adaptors.loadl import loadljob
loadljob._ADAPTOR_CAPABILITIES["jdes_attributes"].append("SystemArchitecture")
"""


@contextmanager
def runner(system: str, folder: Path) -> Iterator[Run]:
    need_saga()
    with fake_batch.start(system, grace_s=5.0) as cluster:
        path = {"PATH": f"{cluster.path}:/usr/bin:/bin"}
        yield lambda body: run_saga(f"{system}://localhost/", DESCRIBED + body, path, folder)


@pytest.fixture
def loadl(tmp_path: Path) -> Iterator[Run]:
    """Runs a body with radical.saga and LoadLeveler."""
    with runner("loadl", tmp_path) as run:
        yield run


@pytest.fixture
def cobalt(tmp_path: Path) -> Iterator[Run]:
    """Runs a body with radical.saga and Cobalt."""
    with runner("cobalt", tmp_path) as run:
        yield run


def test_loadl_refuses_every_job(loadl: Run) -> None:
    assert (
        "'jd.SystemArchitecture' is not supported" in loadl('job("/bin/true", queue="normal").run()')["error"]
    )


def test_loadl_asks_for_a_class_of_its_own_where_none_is_named(loadl: Run) -> None:
    told = loadl(ALLOWED + 'job("/bin/true").run()')
    assert 'The class "edison" is not valid' in told["error"]


def test_a_killed_job_of_loadl_runs_for_ever(loadl: Run) -> None:
    body = """
    first = job("kill -9 $$", queue="normal")
    first.run()
    until(lambda: "no job status" in run_sync("llq")[1])
    result = first.state
    """
    assert loadl(ALLOWED + _plain(body)) == "Running"


def test_loadl_waits_long_for_notes_that_never_come(loadl: Run) -> None:
    body = """
    pauses = []
    loadljob.time.sleep, sleep = pauses.append, time.sleep
    try:
        service.get_job("[loadl://localhost/]-[head.99]")
    except Exception:
        pass
    result = sum(pauses)
    """
    assert loadl(ALLOWED + _plain(body)) == 1022


def test_cobalt_looks_at_jobs_once_a_minute(cobalt: Run) -> None:
    body = """
    from radical.saga.adaptors.cobalt import cobaltjob
    first = job("/bin/true")
    first.run()
    until(lambda: not run_sync("qstat")[1].strip().splitlines()[2:])
    result = [cobaltjob.MONITOR_UPDATE_INTERVAL, first.state]
    """
    assert cobalt(_plain(body)) == [60, "Pending"]


def test_cobalt_calls_a_job_canceled_that_still_runs(cobalt: Run) -> None:
    body = """
    import pathlib
    first = job("trap '' TERM; touch begun; while :; do sleep 0.1; done")
    first.run()
    until(pathlib.Path(box, "begun").exists)
    first.cancel()
    result = [first.state, "running" in run_sync("qstat")[1]]
    """
    assert cobalt(_plain(body)) == ["Canceled", True]


def test_a_job_of_cobalt_without_a_log_keeps_its_last_state(cobalt: Run) -> None:
    body = """
    import pathlib
    first = job("sleep 1000")
    first.run()
    number = first.id.rpartition("[")[2].rstrip("]")
    run_sync(f"qdel {number}")
    until(lambda: not run_sync("qstat")[1].strip().splitlines()[2:])
    pathlib.Path(box, f"{number}.cobaltlog").unlink()
    result = service._adaptor._job_get_info(first.id, reconnect=False)["state"]
    """
    assert cobalt(_plain(body)) == "Pending"


def test_cobalt_knows_no_ended_jobs_of_other_processes(cobalt: Run) -> None:
    assert "Couldn't reconnect to job" in cobalt('service.get_job("[cobalt://localhost/]-[99]")')["error"]


def _plain(body: str) -> str:
    """Return a body without its indentation, to be put behind another one."""
    import textwrap

    return textwrap.dedent(body)
