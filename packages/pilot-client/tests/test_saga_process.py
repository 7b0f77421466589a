"""The helper process of radical.saga, with a stand-in for radical.saga: its life, its deaths, what is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pilot.submission.queue import JobPhase
from pilot.submission.saga.process import HelperLostError, SagaProcess
from pilot.submission.saga.queue import SCHEMES, SagaQueue, readable
from pilot_protocol.errors import MissingExtraError, SubmissionError
from saga_jobs import job

LIMIT_S = 30.0
URL = "lsf://stand-in/"

STAND_IN = """
import os, subprocess, sys, time

class Description:
    def __init__(self):
        self.given = {}
    def set_attribute(self, name, value):
        self.given[name] = value

class Job:
    def __init__(self, service, description, id=None):
        self.service, self.description, self.id = service, description, id
        self.state, self.exit_code = "Running", None
    def run(self):
        if self.description.given.get("project") == "bad":
            raise RuntimeError("wrapped") from ValueError("no such project")
        if self.description.given.get("project") == "circular":
            error = RuntimeError("its own cause")
            raise error from error
        self.service._adaptor.shell.write_to_remote(src="first line", tgt=os.environ["STAND_IN_PIDS"] + ".script")
        self.id = "[lsf://stand-in/]-[host.7]"
    def cancel(self):
        pass

class Shell:
    def write_to_remote(self, src, tgt):
        raise RuntimeError("is not used")
    def run_sync(self, command):
        print("noise on standard output", command)
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True)
        return done.returncode, done.stdout, None

class Adaptor:
    temp_path = ""
    shell = Shell()

class Service:
    def __init__(self, url):
        if os.environ.get("STAND_IN_REFUSES"):
            print("some library's complaint", file=sys.stderr)
            raise RuntimeError("no such host")
        self.url, self._adaptor = url, Adaptor()
        # what loses its parent, and leaves the group and the session of the helper
        subprocess.run(["/bin/sh", "-c", "setsid sleep 600 & echo $! > $STAND_IN_PIDS"])
    def create_job(self, description):
        return Job(self, description)
    def get_job(self, id):
        if "gone" in id:
            raise RuntimeError("no such job")
        return Job(self, Description(), id)
"""


SHELLS = """
class PTYShell:
    def initialize(self):
        pass
class PTYShellFactory:
    def get_cp_slave(self):
        pass
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs the stand-in for this process and its children."""
    package = tmp_path / "installed" / "radical" / "saga"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from . import job\n")
    (package / "job.py").write_text(STAND_IN)
    (package / "utils").mkdir()
    for name in ("pty_shell", "pty_shell_factory"):
        (package / "utils" / f"{name}.py").write_text(SHELLS)
    monkeypatch.syspath_prepend(str(package.parent.parent))
    monkeypatch.setenv("PYTHONPATH", str(package.parent.parent))
    monkeypatch.setenv("STAND_IN_PIDS", str(tmp_path / "pids"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()


@pytest.fixture
def process() -> Iterator[SagaProcess]:
    """A helper; it is ended in the end."""
    process = SagaProcess(URL)
    yield process
    process.end()


def eventually(condition: Callable[[], bool]) -> None:
    """Check a condition until it comes true; processes of others tell nobody when they end."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def stray(tmp_path: Path) -> int:
    """Return the process that the stand-in has left in a session of its own."""
    return int((tmp_path / "pids").read_text())


def is_gone(pid: int) -> bool:
    """Return whether a process is gone; one that only waits to be reaped is."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def folders(tmp_path: Path) -> list[Path]:
    """Return what lies in the folder for temporary files."""
    return list((tmp_path / "temp").iterdir())


def run(process: SagaProcess, command: str, limit_s: float = LIMIT_S) -> str:
    """Run a command through the helper and return what it prints."""
    return str(process.request("shell", {"command": command}, limit_s)["text"]).strip()


def test_noise_on_standard_output_disturbs_no_answer(tmp_path: Path) -> None:
    with closing(SagaQueue(URL, warm=True)) as queue:
        assert queue.submit(job(queue="micro")) == "host.7"
        assert queue.states(["host.7", "gone"]) == {
            "host.7": queue.states(["host.7"])["host.7"],
            "gone": queue.states(["gone"])["gone"],
        }
        assert queue.states(["host.7"])["host.7"].phase is JobPhase.RUNNING
        assert queue.states(["gone"])["gone"].phase is JobPhase.ENDED
    assert folders(tmp_path) == []


def test_the_helper_has_no_terminal_and_logs_into_a_folder_of_its_own(
    process: SagaProcess, tmp_path: Path
) -> None:
    assert run(process, "cat | wc -c; tty") == "0\nnot a tty"
    assert run(process, "echo $RADICAL_DEFAULT_LOG_DIR") == str(folders(tmp_path)[0])
    assert run(process, "echo $RADICAL_SAGA_PTY_SSH_SHAREMODE $SHELL") == "no /bin/sh"
    assert run(process, "pwd") == "/"


def test_saga_is_not_imported_here() -> None:
    with closing(SagaQueue(URL)):
        assert "radical.saga" not in sys.modules


def test_the_end_kills_what_left_group_and_session_and_removes_the_folder(
    process: SagaProcess, tmp_path: Path
) -> None:
    run(process, "true")
    assert not is_gone(stray(tmp_path))
    process.end()
    assert is_gone(stray(tmp_path))
    assert is_gone(process.pid)
    assert folders(tmp_path) == []


def test_a_late_answer_costs_the_helper(process: SagaProcess, tmp_path: Path) -> None:
    run(process, "true")
    with pytest.raises(HelperLostError, match="did not answer in time"):
        run(process, "echo before; sleep 600", limit_s=0.2)
    assert not process.works
    assert is_gone(stray(tmp_path))


def test_the_death_of_the_worker_is_told_and_cleaned_up(process: SagaProcess, tmp_path: Path) -> None:
    with pytest.raises(HelperLostError, match="ended before it answered"):
        run(process, "kill -9 $PPID; sleep 600")
    assert is_gone(stray(tmp_path))
    assert folders(tmp_path) == []


def test_the_death_of_the_guardian_ends_the_worker(process: SagaProcess, tmp_path: Path) -> None:
    worker = int(run(process, "echo $PPID"))
    os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: is_gone(worker))
    with pytest.raises(HelperLostError, match=r"is gone|ended before it answered"):
        run(process, "true")
    assert folders(tmp_path) == []
    os.kill(stray(tmp_path), signal.SIGKILL)  # its adopter was killed, so that it is the test's to end


def test_a_queue_goes_on_with_another_helper() -> None:
    with closing(SagaQueue(URL, warm=True)) as queue:
        first = queue._target.helper_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        eventually(lambda: is_gone(first))
        states = [queue.states(["1"])["1"].phase, queue.states(["1"])["1"].phase]
        assert states[-1] is JobPhase.RUNNING
        assert queue._target.helper_pid != first


def test_a_helper_without_a_connection_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN_REFUSES", "1")
    with closing(SagaQueue(URL, warm=True)) as queue:
        with pytest.raises(SubmissionError, match=rf"cannot be submitted to {URL}: .*no such host; see"):
            queue.submit(job(queue="micro"))
        assert "no such host" in queue.states(["1"])["1"].message
        monkeypatch.delenv("STAND_IN_REFUSES")
        assert queue.submit(job(queue="micro")) == "host.7"


def test_the_cause_of_sagas_error_is_told() -> None:
    with closing(SagaQueue(URL)) as queue, pytest.raises(SubmissionError, match="wrapped\nno such project"):
        queue.submit(job(queue="micro", project="bad"))


def test_an_error_that_is_its_own_cause_is_told() -> None:
    with closing(SagaQueue(URL)) as queue, pytest.raises(SubmissionError, match="its own cause"):
        queue.submit(job(queue="micro", project="circular"))


def test_closing_ends_what_another_thread_waits_for(tmp_path: Path) -> None:
    process = SagaProcess(URL)
    failures: list[HelperLostError] = []
    started = tmp_path / "started"

    def ask() -> None:
        try:
            run(process, f"touch {started}; sleep 600")
        except HelperLostError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    eventually(started.exists)
    process.end()
    thread.join(LIMIT_S)
    assert len(failures) == 1


def test_killing_the_application_ends_everything(tmp_path: Path) -> None:
    program = textwrap.dedent(
        f"""
        import tempfile
        tempfile.tempdir = {str(tmp_path / "temp")!r}
        from pilot.submission.saga.process import SagaProcess
        process = SagaProcess({URL!r})
        print(process.request("shell", {{"command": "echo $PPID"}}, {LIMIT_S})["text"].strip(), process.pid, flush=True)
        process.request("shell", {{"command": "sleep 600"}}, 600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as application:
        assert application.stdout is not None
        helpers = [int(pid) for pid in application.stdout.readline().split()]
        application.kill()
    assert len(helpers) == 2
    for pid in [*helpers, stray(tmp_path)]:
        eventually(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
    assert folders(tmp_path) == []


def test_without_saga_nothing_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(
        MissingExtraError, match=r"pip install 'pilot-client\[saga\]'.*gcc python3-dev"
    ) as missing:
        SagaQueue(URL, warm=True)
    assert missing.value.needed_for == f"a pilot at {URL}"
    assert folders(tmp_path) == []


@pytest.mark.parametrize("url", ["torque://x/", "condor://localhost/", "fork://localhost", "slurm+ftp://x/"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(SubmissionError, match="no pilot can be submitted to"):
        SagaQueue(url)


def test_the_schemes_are_those_that_the_adaptors_take() -> None:
    names = {scheme.partition("+")[0] for scheme in SCHEMES}
    assert names == {"slurm", "pbspro", "sge", "loadl", "cobalt", "lsf", "condor"}
    assert "slurm+gsissh" in SCHEMES
    assert "condor" not in SCHEMES


def test_messages_are_made_readable() -> None:
    text = 'Error running qsub: Unable to run job: unknown queue "x"\r\nExiting.\n [SCRIPTFILE=`mktemp -t x` && echo "…"\n]'
    assert readable(text) == 'Error running qsub: Unable to run job: unknown queue "x"'
    assert readable('Traceback (most recent call last):\n  File "x", line 3\nfailed') == "failed"
    refused = "ssh: connect to host h port 1: Connection refused"
    assert (
        readable(f"read from process failed '[Errno 5] Input/output error' : ({refused}\n) (({refused}\n))")
        == refused
    )
    for complaint in (
        "/bin/sh: 20: echo: echo: I/O error",
        "sh: line 3: echo: write error: No space left on device",
    ):
        assert readable(f"Error running qsub: {complaint}").endswith("(TMPDIR, else /tmp): is it full?")
    assert readable(" ") == "it gave no reason"
