"""What radical.saga does wrong with Slurm: each bug that is walked around, so that its end does not go unnoticed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from saga_guard import run_saga
from saga_trials import need_saga
from slurm import Shape, SlurmCluster, running_slurm
from small_disk import full_disk

Run = Callable[[str], Any]


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A cluster that forgets quickly."""
    need_saga()
    with running_slurm(Shape(min_job_age_s=2)) as cluster:
        yield cluster


@pytest.fixture
def run(slurm: SlurmCluster, tmp_path: Path) -> Run:
    """Runs a body with radical.saga at the cluster; its job scripts are found in ``box``."""
    return lambda body: run_saga(slurm.url, body, slurm.environment, tmp_path)


def test_a_job_without_a_queue_raises_attribute_error_where_nodes_are_unknown(run: Run) -> None:
    body = """
    service._adaptor._ppn = None
    job = service.create_job(describe(executable="/bin/true"))
    job.run()
    """
    assert "'NoneType' object has no attribute 'lower'" in run(body)["error"]


def test_five_cores_are_asked_for_as_nodes_of_four(run: Run, slurm: SlurmCluster) -> None:
    body = """
    job = service.create_job(describe(executable="/bin/sleep", arguments=["60"], queue="debug", total_cpu_count=5))
    job.run()
    result = job.id.rpartition("[")[2].rstrip("]")
    """
    shown = slurm.command("scontrol", "show", "job", run(body))
    assert "NtasksPerN:B:S:C=4:0" in shown
    assert "Requeue=1" in shown
    slurm.command("scancel", "--user=root")


def test_impossible_cores_wait_for_ever(run: Run, slurm: SlurmCluster) -> None:
    body = """
    job = service.create_job(describe(executable="/bin/true", queue="debug", total_cpu_count=100))
    job.run()
    result = [job.state, job.id.rpartition("[")[2].rstrip("]")]
    """
    state, number = run(body)
    assert state == "Pending"
    assert "Reason=PartitionConfig" in slurm.command("scontrol", "show", "job", number)
    slurm.command("scancel", "--user=root")


def test_the_exit_code_is_text_and_later_a_word(run: Run) -> None:
    body = """
    import time
    job = service.create_job(describe(executable="exit", arguments=["3"], queue="debug"))
    job.run()
    while job.state not in ("Failed", "Done"):
        time.sleep(0.2)
    first = job.exit_code
    number = job.id.rpartition("[")[2].rstrip("]")
    while "Invalid job id" not in service._adaptor.shell.run_sync(f"scontrol show job {number}")[1]:
        time.sleep(0.5)
    service._adaptor.jobs.clear()
    result = [first, service.get_job(job.id).state]
    """
    assert run(body) == ["3", "Unknown"]


def test_timeout_is_called_canceled_and_other_words_are_unknown(run: Run) -> None:
    body = """
    result = [service._adaptor._slurm_to_saga_state(word) for word in ("TIMEOUT", "BOOT_FAIL", "DEADLINE")]
    """
    assert run(body) == ["Canceled", None, None] or run(body) == ["Canceled", "Unknown", "Unknown"]


def test_arguments_are_not_quoted(run: Run) -> None:
    body = """
    import pathlib, time
    job = service.create_job(describe(
        executable="/bin/echo", arguments=["a  b", "$HOME"], queue="debug", output=box + "/out", error=box + "/err"))
    job.run()
    while job.state != "Done":
        time.sleep(0.2)
    result = pathlib.Path(box, "out").read_text()
    """
    told = run(body)
    assert told.startswith("a b /")


def test_environment_is_expanded_on_the_target(run: Run) -> None:
    body = """
    import pathlib, time
    job = service.create_job(describe(
        executable="/usr/bin/printenv", arguments=["X"], environment={"X": "$((1+1))"}, queue="debug",
        output=box + "/out", error=box + "/err"))
    job.run()
    while job.state != "Done":
        time.sleep(0.2)
    result = pathlib.Path(box, "out").read_text()
    """
    assert run(body) == "2\n"


def test_the_job_script_stays_in_the_working_directory(run: Run, tmp_path: Path) -> None:
    run('service.create_job(describe(executable="/bin/true", queue="debug", working_directory=box)).run()')
    assert list(tmp_path.glob("tmp_*.slurm"))


def test_a_working_directory_with_a_blank_is_another_one(run: Run, tmp_path: Path) -> None:
    told = run(
        'service.create_job(describe(executable="/bin/true", queue="debug", working_directory=box + "/x y")).run()'
    )
    assert not (tmp_path / "x y").exists()
    assert (tmp_path / "x").exists() or "error" in (told or {})


def test_the_script_runs_as_a_child_of_the_batch_shell_unless_it_execs(run: Run, slurm: SlurmCluster) -> None:
    body = """
    import pathlib, time
    script = pathlib.Path(box, "job.sh")
    script.write_text("#!/bin/sh\\ntrap 'sleep 1; echo asked; exit 5' TERM\\necho here\\nwhile :; do sleep 0.1; done\\n")
    script.chmod(0o700)
    out = pathlib.Path(box, "out")
    job = service.create_job(describe(executable=str(script), queue="debug", output=str(out), error=box + "/err"))
    job.run()
    while not (out.exists() and "here" in out.read_text()):
        time.sleep(0.1)
    job.cancel()
    number = job.id.rpartition("[")[2].rstrip("]")
    while service._adaptor.shell.run_sync(f"squeue -h -j {number}")[1].strip() not in ("",) and \\
            "Invalid" not in service._adaptor.shell.run_sync(f"squeue -h -j {number}")[1]:
        time.sleep(0.2)
    result = out.read_text()
    """
    assert run(body) == "here\n"


def test_the_monitor_dies_of_a_job_that_comes_meanwhile(run: Run) -> None:
    body = """
    import threading
    class Growing(dict):
        def __iter__(self):
            for key in super().__iter__():
                super().__setitem__("[x]-[new]", {"old_state": "Done"})
                yield key
    ended = threading.Event()
    threading.excepthook = lambda given: ended.set()
    adaptor = service._adaptor
    adaptor.jobs = Growing({"[x]-[old]": {"old_state": "Done"}})
    result = [ended.wait(60), adaptor.mt.is_alive()]
    """
    ended, _alive = run(body)
    assert ended


def test_each_command_waits_for_output_that_nobody_has_asked_for(run: Run) -> None:
    body = """
    shell, waits = service._adaptor.shell, []
    read = shell.pty_shell.read
    shell.pty_shell.read = lambda size=0, timeout=0: waits.append(timeout) or read(size=size, timeout=timeout)
    shell.run_sync("true")
    result = waits[0]
    """
    assert run(body) == 0.1


def test_logs_fall_into_the_current_folder_unless_told(slurm: SlurmCluster, tmp_path: Path) -> None:
    environment = {**slurm.environment, "RADICAL_LOG_TGT": "", "RADICAL_SAGA_LOG_LVL": "DEBUG"}
    run_saga(slurm.url, "result = 1", environment, tmp_path)
    assert list((tmp_path / "home").glob("radical*"))
    assert (tmp_path / "home" / ".radical").is_dir()


def test_the_monitor_outlives_the_close_unless_it_is_stopped(run: Run) -> None:
    body = """
    service.close()
    monitor = service._adaptor.mt
    monitor.join(1)
    outlived = monitor.is_alive()
    monitor.stop()
    monitor.join(60)
    result = [outlived, monitor.is_alive()]
    """
    assert run(body) == [True, False]


def test_a_job_cannot_be_suspended_before_its_state_was_read(run: Run, slurm: SlurmCluster) -> None:
    body = """
    job = service.create_job(describe(executable="/bin/sleep", arguments=["60"], queue="debug"))
    job.run()
    job.suspend()
    """
    assert run(body)["error"].startswith("IncorrectState")
    slurm.command("scancel", "--user=root")


def test_where_there_are_no_jobs_a_nameless_one_is_listed(run: Run, slurm: SlurmCluster) -> None:
    slurm.command("scancel", "--user=root")
    body = """
    import time
    while service._adaptor.shell.run_sync("squeue -h")[1].strip():
        time.sleep(0.2)
    result = [each.rpartition("-")[2] for each in service.list()]
    """
    assert run(body) == ["[]"]


def test_a_script_that_cannot_be_written_is_noticed_by_sbatch_only(run: Run, tmp_path: Path) -> None:
    with full_disk(tmp_path / "full", "bytes"):
        told = run(
            'service.create_job(describe(executable="/bin/true", queue="debug", working_directory=box + "/full")).run()'
        )
    assert "Batch script is empty" in told["error"]


def test_a_colon_parts_a_queue_from_a_quality_of_service(run: Run) -> None:
    body = 'service.create_job(describe(executable="/bin/true", queue="debug:nosuch", project="a:b")).run()'
    assert re.search(r"(?i)qos|quality|reservation", run(body)["error"])


def test_mpi_is_started_by_saga_where_it_is_named(run: Run, slurm: SlurmCluster, tmp_path: Path) -> None:
    body = """
    description = describe(executable="/bin/true", queue="debug", spmd_variation="MPI", working_directory=box)
    service.create_job(description).run()
    """
    run(body)
    (script,) = tmp_path.glob("tmp_*.slurm")
    assert "mpirun -n 1 /bin/true" in script.read_text()
