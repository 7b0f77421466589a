"""What radical.saga does wrong in every process, and on ``fork://`` and ``ssh://``: why it has a process of its own, and
why neither of these is asked of it.

Agents on this machine are our own child processes, those behind SSH plain processes there. For each bug there is a test that
shows it, so that its end does not go unnoticed; those in the middle show that a helper of ours is free of them.
"""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pilot.submission.saga.queue import SagaQueue
from pilot.submission.saga.target import SagaTarget
from pilot.submission.ssh.stand_ins import write_stand_ins
from pilot_protocol.errors import SubmissionError
from saga_guard import run_saga
from saga_trials import need_saga
from sshd import HOST, Sshd, running_sshd

Run = Callable[..., Any]
HERE = "fork://localhost/"
SOCKETS = f"saga_ssh_{getpass.getuser()}_*"

DESCRIBED = """
import os, pathlib, threading, time
out = box + "/out"
def job(line, *arguments, **more):
    return service.create_job(describe(executable=line, arguments=list(arguments), output=out, error=box + "/err", **more))
def until_ended(job):
    while job.state not in ("Done", "Failed", "Canceled"):
        time.sleep(0.05)
    return job.state
def ended(job):
    job.run()
    return [until_ended(job), job.exit_code]
def printed(job):
    ended(job)
    return pathlib.Path(out).read_text()
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a body with radical.saga, at first on this machine."""
    need_saga()
    return lambda body, url=HERE, more={}: run_saga(url, DESCRIBED + body, more, tmp_path)


# --- in every process -------------------------------------------------------------------------------------------------


def test_importing_it_replaces_os_fork(run: Run) -> None:
    assert run("result = os.fork.__module__") == "radical.utils.atfork.atfork"


def test_a_closed_service_leaves_shells_and_a_thread(run: Run) -> None:
    body = """
import subprocess
service.close()
below = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True).stdout
result = [below.count("/bin/sh -i"), threading.active_count()]
"""
    shells, threads = run(body)
    assert shells >= 2
    assert threads >= 2


def test_its_shells_read_the_start_files_of_the_users_shell(run: Run, tmp_path: Path) -> None:
    start_file = tmp_path / "home" / ".bashrc"
    start_file.parent.mkdir()
    start_file.write_text(f"touch {tmp_path}/read\n")
    run("", more={"SHELL": "/bin/bash"})
    assert (tmp_path / "read").exists()


def test_it_writes_below_home_and_lists_the_jobs_of_all_times(run: Run, tmp_path: Path) -> None:
    run('ended(job("/bin/true"))')
    assert run("result = len(service.list())") == 1
    assert (tmp_path / "home" / ".radical" / "saga" / "adaptors").is_dir()


def test_without_pwd_its_logs_fall_into_a_folder_none(run: Run, tmp_path: Path) -> None:
    body = """
import subprocess, sys
variables = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
program = "import radical.saga; radical.saga.job.Service('pbs://localhost/')"
subprocess.run([sys.executable, "-c", program], env=variables, cwd=box, stderr=subprocess.DEVNULL)
"""
    run(body)
    assert (tmp_path / "None").is_dir()


def test_it_has_no_plain_pbs(run: Run) -> None:
    assert "No adaptor found" in run("", url="pbs://localhost/")["error"]


def test_its_files_on_globus_cannot_be_opened(run: Run) -> None:
    assert "unexpected keyword argument" in run('saga.filesystem.File("go://x/y")')["error"]


def test_a_missing_batch_system_is_a_number_that_cannot_be_read(run: Run) -> None:
    assert "invalid literal for int" in run("", url="slurm://localhost/", more={"PATH": "/bin"})["error"]


# --- a helper of ours -------------------------------------------------------------------------------------------------


@pytest.fixture
def users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a user with start files that tell that they were read."""
    need_saga()
    home = tmp_path / "users"
    home.mkdir()
    for name in (".bashrc", ".profile", ".bash_profile"):
        (home / name).write_text(f"touch {home}/read\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("SHELL", "/bin/bash")
    return home


def test_a_helper_reads_no_start_files_and_leaves_nothing_in_home(users_home: Path) -> None:
    before = set(users_home.iterdir())
    with (
        closing(SagaTarget("slurm://localhost/", 60.0)) as target,
        pytest.raises(SubmissionError, match="does not come up there"),
    ):
        target.run("true")
    assert set(users_home.iterdir()) == before


@pytest.mark.parametrize("url", [HERE, f"ssh://{HOST}/"])
def test_neither_is_asked_of_radical_saga(url: str) -> None:
    with pytest.raises(SubmissionError, match="no pilot can be submitted to"):
        SagaQueue(url)


# --- jobs on this machine ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "state"), [('"-c", "exit 3"', ["Done", 0]), ('"-c", "\'exit 3\'"', ["Failed", 3])]
)
def test_arguments_are_joined_to_a_line_of_shell(run: Run, arguments: str, state: list[Any]) -> None:
    assert run(f'result = ended(job("/bin/sh", {arguments}))') == state


def test_a_value_of_the_environment_ends_at_its_first_blank(run: Run) -> None:
    assert run('result = printed(job("/usr/bin/printenv", "X", environment={"X": "x y"}))') == "x\n"


def test_walltime_queue_and_gpus_are_ignored(run: Run) -> None:
    wishes = 'wall_time_limit=1, queue="nosuch", project="nosuch", total_gpu_count=9'
    assert run(f'result = ended(job("/bin/true", {wishes}))') == ["Done", 0]


def test_candidate_hosts_are_refused(run: Run) -> None:
    assert "not supported" in run('job("/bin/true", candidate_hosts=["a"])')["error"]


def test_a_canceled_job_has_no_exit_code_but_an_error(run: Run) -> None:
    body = """
sleeper = job("/bin/sleep", "600")
sleeper.run()
sleeper.cancel()
result = sleeper.exit_code
"""
    assert run(body)["error"].startswith("NoSuccess: failed to get exit code")


def test_a_good_job_that_was_suspended_and_resumed_has_failed(run: Run) -> None:
    body = """
gate = box + "/gate"
waiter = job("/bin/sh", "-c", f"'while ! [ -e {gate} ]; do sleep 0.1; done'")
waiter.run()
waiter.suspend()
waiter.resume()
pathlib.Path(gate).touch()
result = until_ended(waiter)
"""
    assert run(body) == "Failed"


def test_what_makes_a_session_of_its_own_outlives_the_cancellation(run: Run, tmp_path: Path) -> None:
    body = """
parent = job("/bin/sh", "-c", f"'setsid sh -c \\"echo \\\\$\\\\$ >{box}/pid; exec sleep 600\\" & sleep 600'")
parent.run()
while not pathlib.Path(box, "pid").exists():
    time.sleep(0.05)
parent.cancel()
left = int(pathlib.Path(box, "pid").read_text())
os.kill(left, 9)
result = parent.state
"""
    assert run(body) == "Canceled"


def test_its_output_is_not_told(run: Run) -> None:
    assert run('first = job("/bin/echo", "x")\nended(first)\nresult = first.get_stdout()') == ""


# --- ssh --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    """An SSH server; the sockets that radical.saga leaves are removed."""
    need_saga()
    with running_sshd() as running:
        yield running
        for socket in Path("/tmp").glob(SOCKETS):
            subprocess.run(["ssh", "-S", socket, "-O", "exit", HOST], capture_output=True, check=False)
            socket.unlink(missing_ok=True)


@pytest.fixture
def way(server: Sshd, tmp_path: Path) -> Mapping[str, str]:
    """Variables by which radical.saga's ssh knows the server."""
    write_stand_ins(tmp_path / "bin", ["-F", str(server.config_file)], "/usr/bin:/bin")
    return {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}


def test_another_port_of_a_host_is_taken_for_the_first_one(
    run: Run, server: Sshd, way: Mapping[str, str]
) -> None:
    body = f'result = saga.job.Service("ssh://{HOST}:1/")._adaptor.shell.run_sync("echo here")[1]'
    assert run(body, url=f"ssh://{HOST}:{server.port}/", more=way).split()[-1] == "here"


def test_the_socket_of_its_login_lies_in_tmp(run: Run, server: Sshd, way: Mapping[str, str]) -> None:
    body = f'result = [str(path) for path in pathlib.Path("/tmp").glob("{SOCKETS}")]'
    assert run(body, url=f"ssh://{HOST}:{server.port}/", more=way)


def test_a_port_where_nobody_listens_is_a_bad_parameter(run: Run, way: Mapping[str, str]) -> None:
    told = run("", url=f"ssh://{HOST}:1/", more=way)["error"]
    assert told.startswith("BadParameter: read from process failed")
    assert "Connection refused" in told
