"""What radical.saga does wrong with LoadLeveler, Cobalt, PBS Pro, Torque and LSF, so that its end does not go unnoticed.

Shown on stand-ins, with radical.saga as it is shipped. What is wrong with the first two is put right, PBS Pro's script is
edited and PBS asked for its jobs, and Torque, LSF and HTCondor are not left to it at all.
"""

from __future__ import annotations

import re
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
def script(**wishes):
    described = describe(executable="/bin/true", name="x", output=box + "/out", error=box + "/err")
    for name, value in wishes.items():
        described.set_attribute(name, value)
    commands = []
    service._adaptor.shell.run_sync = lambda command, *more, **named: (commands.append(command), run_sync(command, *more, **named))[1]
    try:
        service.create_job(described).run()
    except Exception as error:
        if "SCRIPTFILE" not in str(commands):
            raise
    return [command for command in commands if "SCRIPTFILE" in command][0]
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


# --- PBS Pro ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pbspro(tmp_path: Path) -> Iterator[Run]:
    """Runs a body with radical.saga and PBS Pro."""
    with runner("pbspro", tmp_path) as run:
        yield run


def test_pbs_pro_is_asked_for_chunks_of_the_hardwares_cores_that_may_share_a_host(pbspro: Run) -> None:
    told = pbspro("result = script(total_cpu_count=6)")
    assert re.search(r"#PBS -l select=\d:ncpus=\d\n", told)
    assert "place" not in told
    assert "mpiprocs" not in told


def test_pbs_pro_is_not_asked_for_gpus(pbspro: Run) -> None:
    assert "ngpus" not in pbspro("result = script(total_cpu_count=2, total_gpu_count=2)")


def test_a_candidate_host_of_pbs_pro_becomes_a_server(pbspro: Run) -> None:
    assert "#PBS -q @node1\n" in pbspro('result = script(total_cpu_count=1, candidate_hosts=["node1"])')


def test_values_of_the_environment_of_pbs_pro_are_in_the_quotes_of_a_directive(pbspro: Run) -> None:
    told = pbspro('result = script(total_cpu_count=1, environment={"X": "a b"})')
    assert '#PBS -v \\"X=a b\\"\n' in told


def test_pbs_pro_is_looked_at_by_a_thread_every_few_seconds(pbspro: Run) -> None:
    body = """
    from radical.saga.adaptors.pbspro import pbsprojob
    first = job("/bin/true")
    first.run()
    until(lambda: "job_state = F" in run_sync("qstat -fx " + first.id.rpartition("[")[2].rstrip("]"))[1])
    result = [pbsprojob.MONITOR_UPDATE_INTERVAL, first.state]
    """
    pause_s, state = pbspro(_plain(body))
    assert pause_s > 1
    assert state == "Pending"


# --- Torque, LSF, HTCondor --------------------------------------------------------------------------------------------


@pytest.fixture
def torque(tmp_path: Path) -> Iterator[Run]:
    """Runs a body with radical.saga and Torque."""
    with runner("torque", tmp_path) as run:
        yield run


def test_the_state_of_a_job_of_torque_is_never_read(torque: Run) -> None:
    body = """
    first = job("/bin/true")
    first.run()
    number = first.id.rpartition("[")[2].rstrip("]")
    until(lambda: "job_state = C" in run_sync(f"qstat -f {number}")[1])
    service._adaptor._job_get_info(first.id, False)
    """
    assert "UnboundLocalError: cannot access local variable 'job_state'" in torque(_plain(body))["error"]


def test_a_program_under_torque_gets_arguments_that_are_none_of_its(torque: Run) -> None:
    told = torque("result = script(total_cpu_count=1)")
    assert "/bin/true export SAGA_PPN=1\n" in told
    assert "nodes=1\n" in told, "one core of it"


def test_a_job_that_torque_has_forgotten_is_a_type_error(torque: Run) -> None:
    assert torque('service.get_job("[torque://localhost/]-[99.head]")')["error"].startswith("TypeError")


def test_torque_wants_a_number_of_cores(torque: Run) -> None:
    assert "error generating pbs script" in torque("script()")["error"]


def test_lsf_serves_no_host_that_is_not_in_a_table(tmp_path: Path) -> None:
    with runner("lsf", tmp_path) as run:
        told = run(
            'service.create_job(describe(executable="/bin/true", environment={"X": "1"}, total_cpu_count=1)).run()'
        )
        assert "not yet supported" in told["error"]


def test_condor_does_not_come_up_on_this_machine(tmp_path: Path) -> None:
    with runner("condor", tmp_path) as run:
        assert "Error finding Condor tools" in run("")["error"]


def _plain(body: str) -> str:
    """Return a body without its indentation, to be put behind another one."""
    import textwrap

    return textwrap.dedent(body)
