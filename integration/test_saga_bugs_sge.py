"""What radical.saga does wrong with Grid Engine: each bug that is walked around, so that its end does not go unnoticed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from saga_guard import run_saga
from saga_trials import need_saga
from sge import SgeCluster, running_sge

Run = Callable[[str], Any]


@pytest.fixture(scope="module")
def sge() -> Iterator[SgeCluster]:
    """A Grid Engine with one host."""
    need_saga()
    with running_sge() as cluster:
        yield cluster


@pytest.fixture
def run(sge: SgeCluster, tmp_path: Path) -> Run:
    """Runs a body with radical.saga there."""
    return lambda body: run_saga(sge.url, body, sge.environment, tmp_path)


def test_names_of_parallel_environments_are_refused(run: Run) -> None:
    assert "spmd_variation" in run('describe(spmd_variation="smp")')["error"].lower()


def test_cores_need_a_parallel_environment(run: Run) -> None:
    body = 'service.create_job(describe(executable="/bin/true", total_cpu_count=2)).run()'
    assert "spmd_variation is not empty" in run(body)["error"]


def test_a_killed_job_runs_for_ever(run: Run) -> None:
    body = """
    import pathlib, time
    pids = pathlib.Path(box, "pid")
    job = service.create_job(describe(
        executable=f"echo $PPID $$ > {pids}; kill -9 $$", name="x", output=box + "/out", error=box + "/err"))
    job.run()
    number = job.id.rpartition("[")[2].rstrip("]")
    while service._adaptor.shell.run_sync(f"qacct -j {number}")[0] != 0:
        time.sleep(0.5)
    result = job.state
    """
    assert run(body) == "Running"


def test_every_exit_code_is_done_and_qacct_has_the_one_of_an_echo(run: Run, sge: SgeCluster) -> None:
    body = """
    import time
    job = service.create_job(describe(
        executable="/bin/sh", arguments=["-c", "'exit 3'"], name="x", output=box + "/out", error=box + "/err"))
    job.run()
    while job.state != "Done":
        time.sleep(0.5)
    number = job.id.rpartition("[")[2].rstrip("]")
    while service._adaptor.shell.run_sync(f"qacct -j {number}")[0] != 0:
        time.sleep(0.5)
    result = [job.state, job.exit_code, service._adaptor.shell.run_sync(f"qacct -j {number}")[1]]
    """
    state, code, record = run(body)
    assert (state, code) == ("Done", 3)
    assert "exit_status  0" in record


def test_the_job_script_begins_with_an_empty_line(run: Run) -> None:
    body = """
    texts = []
    shell = service._adaptor.shell
    original = shell.run_sync
    shell.run_sync = lambda command, *more, **named: texts.append(command) or original(command, *more, **named)
    service.create_job(describe(executable="/bin/true", name="x", output=box + "/out", error=box + "/err")).run()
    result = [text for text in texts if "mktemp" in text][0]
    """
    assert 'echo "\n#!/bin/bash' in run(body)


def test_environment_with_a_blank_is_refused_by_qsub(run: Run) -> None:
    body = """
    service.create_job(describe(
        executable="/bin/true", name="x", environment={"X": "a b"}, output=box + "/out", error=box + "/err")).run()
    """
    assert "qsub" in run(body)["error"]


def test_a_refused_script_stays(run: Run, tmp_path: Path) -> None:
    body = """
    import os, pathlib
    os.environ["TMPDIR"] = box
    service._adaptor.shell.run_sync(f"export TMPDIR={box}")
    try:
        service.create_job(describe(
            executable="/bin/true", name="x", queue="nosuch", output=box + "/out", error=box + "/err")).run()
    except Exception:
        pass
    result = [path.name for path in pathlib.Path(box).glob("RS-SGEJobScript*")]
    """
    assert len(run(body)) == 1


def test_canceling_a_job_that_has_ended_fails(run: Run, sge: SgeCluster) -> None:
    body = """
    import time
    job = service.create_job(describe(executable="/bin/true", name="x", output=box + "/out", error=box + "/err"))
    job.run()
    number = job.id.rpartition("[")[2].rstrip("]")
    while service._adaptor.shell.run_sync(f"qacct -j {number}")[0] != 0:
        time.sleep(0.5)
    job.cancel()
    """
    told = run(body)
    assert told is not None
    assert "does not exist" in told["error"]


@pytest.mark.parametrize(
    "attribute", ['pre_exec=["true"]', 'post_exec=["true"]', "total_gpu_count=1", 'job_contact=["me@here"]']
)
def test_setup_gpus_and_mail_cannot_be_asked_for(run: Run, attribute: str) -> None:
    told = run(f'service.create_job(describe(executable="/bin/true", {attribute}))')
    assert told["error"].startswith("BadParameter")


def test_there_are_no_callbacks_and_no_output_and_waiting_tells_nothing(run: Run) -> None:
    body = """
    heard = []
    job = service.create_job(describe(executable="/bin/true", name="x", output=box + "/out", error=box + "/err"))
    job.add_callback(saga.STATE, lambda *more: heard.append(more) or True)
    job.run()
    waited = job.wait()
    try:
        job.get_stdout()
    except saga.exceptions.NotImplemented:
        heard.append("no output")
    result = [waited, heard]
    """
    assert run(body) == [None, ["no output"]]


def test_without_a_script_qsub_is_run_and_reads_one_from_the_terminal(run: Run) -> None:
    body = """
    texts = []
    shell = service._adaptor.shell
    original = shell.run_sync
    shell.run_sync = lambda command, *more, **named: texts.append(command) or original(command, *more, **named)
    service.create_job(describe(executable="/bin/true", name="x", output=box + "/out", error=box + "/err")).run()
    result = [text for text in texts if "mktemp" in text][0]
    """
    assert re.search(r"&& unset GREP_OPTIONS; \S*qsub ", run(body))


def test_where_qstat_does_not_show_its_help_nothing_is_found(sge: SgeCluster, tmp_path: Path) -> None:
    qstat = tmp_path / "bin" / "qstat"
    qstat.parent.mkdir()
    qstat.write_text('#!/bin/sh\n[ "$1" = -help ] && exit 1\nexec /usr/bin/qstat "$@"\n')
    qstat.chmod(0o700)
    way = {**sge.environment, "PATH": f"{qstat.parent}:/usr/bin:/bin"}
    assert "is not subscriptable" in run_saga(sge.url, "service.list()", way, tmp_path)["error"]


def test_each_connection_asks_every_tool_for_its_help(run: Run) -> None:
    body = """
    shell, asked = service._adaptor.shell, []
    run_sync = shell.run_sync
    shell.run_sync = lambda command: asked.append(command) or run_sync(command)
    service._adaptor.initialize()
    result = [command.split()[-2].rpartition("/")[2] for command in asked if command.endswith(" -help")]
    """
    assert sorted(run(body)) == ["qacct", "qconf", "qdel", "qstat", "qsub"]
