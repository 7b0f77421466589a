"""The alignment example while everything that serves it is killed once: it ends with the right result, and nothing twice."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from child_program import kill_all, processes_of
from closed_sessions import close_sessions
from pilot import ComputeDataService, DataUnit, State
from pilot_data import data_session
from pilot_data.catalogue import Catalogue
from pilot_protocol.data_records import ReplicaLetter, ReplicaRecord
from pilot_session.coordination_url import parse_object_url
from redis_process import RedisProcess
from until import until

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
READS, PARTITIONS, CORES = 2000, 4, 2
LIMIT_S = 150.0

CLIENT = f"""
import signal, sys
from pathlib import Path
from types import ModuleType
sys.path.insert(0, {str(EXAMPLES)!r})
import genome_alignment
from pilot import ComputeDataService, PilotComputeService, PilotDataService

url, folder = sys.argv[1], Path(sys.argv[2])
genome_alignment.make_data(folder, {READS})
pilots, stores, work = PilotComputeService(url), PilotDataService(url), ComputeDataService()
pilots.create_pilot({{
    "service_url": "fork://localhost", "number_of_processes": {CORES}, "working_directory": f"{{folder}}/agent",
}})
near = stores.create_pilot({{"service_url": f"file://{{folder}}/near"}})
far = stores.create_pilot({{"service_url": f"file://{{folder}}/far", "affinity_datacenter_label": "far"}})
work.add_pilot_compute_service(pilots)
work.add_pilot_data_service(stores)
reads = near.submit_data_unit({{"file_urls": [f"{{folder}}/reads.fq"]}})
reads.wait()
result = genome_alignment.submit(work, folder, {READS}, {PARTITIONS})
print(work.url, result.url, reads.url, far.url, flush=True)
signal.pause()
"""

ALIGNER = """\
#!/bin/sh
# The aligner, which writes down what it does, and aligns only when the gate is open.
echo "begin $*" >>{log}
[ "$1" = index ] || flock --shared {gate} true
{bwa} "$@" || exit
echo "end $*" >>{log}
"""

pytestmark = [pytest.mark.slow, pytest.mark.faults, pytest.mark.timeout(300)]


class Alignment:
    """The workflow as another process has submitted it, with a gate before its longest step.

    Args:
        folder: For everything.
        environment: Of the user; this process must have it, too.
        server: That the session is on.
    """

    def __init__(self, folder: Path, environment: dict[str, str], server: RedisProcess) -> None:
        self.folder, self.environment, self.server = folder, environment, server
        self._log = folder / "log"
        self._log.touch()
        self._gate = os.open(folder / "gate", os.O_RDWR | os.O_CREAT)
        self._write_aligner()
        words = [sys.executable, "-c", CLIENT, server.url, str(folder)]
        self._processes: list[subprocess.Popen[str]] = []
        self.client, line = self._started(words)
        self.work, self.result, self.reads, self.far = line.split()

    def _write_aligner(self) -> None:
        bwa = shutil.which("bwa")
        if bwa is None or shutil.which("flock") is None:
            pytest.skip("no server: bwa or flock is not on this machine (bwa, util-linux)")
        subprocess.run(["flock", "--exclusive", str(self._gate)], check=True, pass_fds=[self._gate])
        program = self.folder / "bin" / "bwa"
        program.parent.mkdir()
        program.write_text(ALIGNER.format(log=self._log, gate=self.folder / "gate", bwa=bwa))
        program.chmod(0o755)
        self.environment["PATH"] = f"{program.parent}{os.pathsep}{self.environment['PATH']}"

    def _started(self, words: list[str]) -> tuple[subprocess.Popen[str], str]:
        """Start a program; returns it with the first line that it prints."""
        process = subprocess.Popen(words, env=self.environment, text=True, stdout=subprocess.PIPE)
        self._processes.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline()

    def close(self) -> None:
        """End everything."""
        for process in self._processes:
            process.kill()
            process.communicate()

    def serve(self, *options: str) -> subprocess.Popen[str]:
        """Start a program that serves the session; returns when it does."""
        session = parse_object_url(self.work).session
        words = [sys.executable, "-m", "pilot_data", "serve", "--session", session, *options]
        process, line = self._started(words)
        assert line
        return process

    @staticmethod
    def id_of(url: str) -> str:
        """Return the id that is in a URL."""
        return parse_object_url(url).id

    def open_gate(self) -> None:
        """Let the aligner align."""
        os.close(self._gate)

    def lines(self, word: str) -> list[str]:
        """Return what the aligner has begun or ended, by its arguments."""
        said = self._log.read_text().splitlines()
        return [line.removeprefix(f"{word} ") for line in said if line.startswith(f"{word} ")]

    def aligning(self) -> list[str]:
        """Return what alignments have begun."""
        return [line for line in self.lines("begin") if line.startswith("mem")]

    def kill_head(self) -> None:
        """Kill the head of the pilot's agent."""
        (head,) = [pid for pid, command in processes_of(self.folder) if "--head" in command]
        os.kill(head, signal.SIGKILL)


@pytest.fixture
def alignment(
    environment: dict[str, str], home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Alignment]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    server = RedisProcess(home / "redis", appends=True)
    server.start()
    running = Alignment(home, environment, server)
    yield running
    close_sessions()
    running.close()
    kill_all(home)
    server.stop()


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("genome_alignment", EXAMPLES / "genome_alignment.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_each_is_killed_once_in_the_middle(alignment: Alignment, example: ModuleType) -> None:
    until(lambda: len(alignment.aligning()) == CORES, limit_s=LIMIT_S)
    alignment.client.kill()
    alignment.client.wait()

    replica = alignment.id_of(alignment.reads), alignment.id_of(alignment.far)
    slow = alignment.serve("--bandwidth", "50K")
    catalogue = data_session.find(alignment.reads, "du")[0].catalogue
    catalogue.ask(*replica)
    assert catalogue.wait_for(lambda: replica_of(catalogue, replica).bytes > 0, LIMIT_S)
    slow.kill()
    slow.wait()
    assert replica_of(catalogue, replica).letter == ReplicaLetter.RUNNING
    alignment.serve()

    alignment.kill_head()
    until(lambda: len(alignment.aligning()) == 2 * CORES, limit_s=LIMIT_S)

    alignment.server.kill()
    alignment.server.start()
    alignment.open_gate()

    with ComputeDataService(cds_url=alignment.work) as work:
        assert work.wait(LIMIT_S)
        assert [unit.state for unit in work.list_compute_units()] == [State.Done] * (PARTITIONS + 3)
        for pilot in work.list_pilot_compute():
            pilot.cancel()
    assert Counter(alignment.lines("end")) == dict.fromkeys(alignment.lines("begin"), 1)
    assert rights_in(alignment, example) >= 0.98 * READS
    assert catalogue.wait_for(lambda: replica_of(catalogue, replica).letter == ReplicaLetter.DONE, LIMIT_S)
    copied = alignment.folder / "far" / replica[0] / "reads.fq"
    assert copied.read_bytes() == (alignment.folder / "reads.fq").read_bytes()


def replica_of(catalogue: Catalogue, replica: tuple[str, str]) -> ReplicaRecord:
    """Return what a catalogue knows of a replica."""
    unit = catalogue.data_unit(replica[0])
    assert unit is not None
    return unit.replicas[replica[1]]


def rights_in(alignment: Alignment, example: ModuleType) -> int:
    """Return how many reads were found where they come from."""
    target = alignment.folder / "result"
    DataUnit(alignment.result).export(str(target))
    return sum(found.is_right for found in example.alignments_in(target / "all.sam"))
