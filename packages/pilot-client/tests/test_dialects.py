"""What batch systems are told, word for word, and which PBS a machine has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pilot.submission.dialects import DIALECTS, choose_pbs
from pilot.submission.dialects.dialect import job_text
from pilot.submission.dialects.pbs_text import parse_id
from pilot.submission.place import Output
from pilot.submission.queue import Job
from pilot_protocol.errors import SubmissionError

JOB = Job("pilot-p-abcdefgh", "/s/job.sh", "/s", "/s/agent.out", "/s/agent.err", 90.5, cores=16)
NODES: dict[str, Any] = {"cores": 16, "processes_per_node": 8, "gpus_per_node": 2, "memory_per_node_mb": 2000}
WHOLE: dict[str, Any] = {"cores": None, "nodes": 2}


def directives(kind: str, **more: Any) -> list[str]:
    """Return the lines that say what a job needs, without their prefix."""
    lines = DIALECTS[kind].directives(replace(JOB, **more))
    return [line.partition(" ")[2] for line in lines]


def test_the_job_file_becomes_the_script() -> None:
    job = replace(JOB, folder="/s a/$b", script="/s a/$b/it's", output='/o "1"', error="/e")
    assert job_text(DIALECTS["torque"], job) == (
        "#!/bin/sh\n"
        "#PBS -N pilot-p-abcdefg\n#PBS -S /bin/sh\n#PBS -j oe\n#PBS -l nodes=1:ppn=16\n#PBS -l walltime=01:31:00\n"
        "cd '/s a/$b' || exit 1\n"
        "exec '/s a/$b/it'\"'\"'s' </dev/null >'/o \"1\"' 2>/e\n"
    )


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        ("torque", {}, ["-l nodes=1:ppn=16"]),
        ("torque", NODES, ["-l nodes=2:ppn=8:gpus=2", "-l mem=4000mb"]),
        ("torque", WHOLE, ["-l nodes=2", "-n"]),
        ("torque", {"nodes": 2, "candidate_hosts": ("a", "b")}, ["-l nodes=a:ppn=8+b:ppn=8"]),
        ("xt5torque", {}, ["-l size=16"]),
        ("xt5torque", {"cores": None, "nodes": 2, "processes_per_node": 12}, ["-l size=24"]),
        ("pbspro", {}, ["-l select=16:ncpus=1"]),
        ("pbspro", NODES, ["-l select=2:ncpus=8:ngpus=2:mem=2000mb", "-l place=scatter"]),
        ("pbspro", {"gpus_per_node": 1}, ["-l select=1:ncpus=16:ngpus=1", "-l place=scatter"]),
        ("pbspro", WHOLE, ["-l select=2:ncpus=1", "-l place=scatter:excl"]),
        ("pbspro", {"candidate_hosts": ("a",)}, ["-l select=1:ncpus=16:host=a"]),
    ],
)
def test_what_pbs_is_asked_for(kind: str, more: dict[str, Any], expected: list[str]) -> None:
    head = ["-N pilot-p-abcdefg", "-S /bin/sh", "-j oe"]
    assert directives(kind, **more) == [*head, *expected, "-l walltime=01:31:00"]
    assert directives(kind, **more, queue="q", project="x")[-2:] == ["-q q", "-A x"]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ["-n 16"]),
        (NODES, ["-n 16", '-R "span[ptile=8]"', '-R "rusage[mem=2000]"', '-gpu "num=2"']),
        (WHOLE, ["-n 2", '-R "span[ptile=1]"', "-x"]),
        (
            {"candidate_hosts": ("a", "b"), "queue": "q", "project": "x"},
            ["-n 16", '-m "a b"', "-q q", "-P x"],
        ),
    ],
)
def test_what_lsf_is_asked_for(more: dict[str, Any], expected: list[str]) -> None:
    assert directives("lsf", **more) == [f"-J {JOB.name}", '-env "none"', "-o batch.out", "-W 91", *expected]


def test_what_condor_is_asked_for() -> None:
    assert directives(
        "condor", cores=4, memory_per_node_mb=500, gpus_per_node=1, project="g.u", candidate_hosts=("a", "b")
    ) == [
        "universe = vanilla",
        "executable = batch.condor",
        "output = batch.out",
        "error = batch.out",
        "log = batch.log",
        "should_transfer_files = NO",
        f'+JobBatchName = "{JOB.name}"',
        "request_cpus = 4",
        "periodic_remove = JobStatus == 2 && time() - JobCurrentStartDate > 5460",
        "request_memory = 500",
        "request_gpus = 1",
        "accounting_group = g.u",
        'requirements = Machine == "a" || Machine == "b"',
        "queue",
    ]
    assert directives("condor", queue="local")[0] == "universe = local"


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("condor", WHOLE, "name number_of_processes"),
        ("condor", {"nodes": 2}, "asks for 2 nodes: start as many pilots"),
        ("xt5torque", WHOLE, "name number_of_processes"),
        ("torque", {"nodes": 2, "candidate_hosts": ("a",)}, "names 1, the pilot has 2 node"),
        ("lsf", {"queue": "a\n#BSUB -q b"}, "single words"),
        ("pbspro", {"project": "two words"}, "'two words' cannot be handed to PBS Pro"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(kind: str, more: dict[str, Any], words: str) -> None:
    with pytest.raises(SubmissionError, match=words):
        job_text(DIALECTS[kind], replace(JOB, **more))


@pytest.mark.parametrize(
    ("kind", "printed", "job"),
    [
        ("torque", "qsub: waiting for job\n123.head.example.org\n", "123.head.example.org"),
        ("pbspro", "1001.head\n", "1001.head"),
        ("lsf", "Job <901545> is submitted to queue <regular>.\n", "901545"),
        ("lsf", "Job <7> is submitted to default queue <normal>.\n", "7"),
        ("condor", "Submitting job(s).\n1 job(s) submitted to cluster 12.\n", "12.0"),
        ("condor", "Submitting job(s)\n", None),
        ("lsf", "", None),
        ("torque", "hello\n", None),
    ],
)
def test_ids_are_found(kind: str, printed: str, job: str | None) -> None:
    assert DIALECTS[kind].parse_id(printed) == job


def test_torque_numbers_alone_are_ids_too() -> None:
    assert parse_id("12\n") == "12"


class Answering:
    """A machine that answers every command alike."""

    name = "cluster.example.org"

    def __init__(self, code: int, text: str) -> None:
        self._output = Output(code, text.encode(), "")

    def url_of(self, path: str) -> str:
        """Return no way in."""
        return ""

    def run(self, command: str, *, given: bytes = b"", limit_s: float = 60) -> Output:
        """Answer."""
        return self._output

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("pbs_version = 23.06.06\n", "pbspro"),
        ("pbs_version = PBSPro_13.1.3.170\n", "pbspro"),
        ("Version: 6.1.2\nCommit: 661e092552de43a785c15d39a3634a541d86898e\n", "torque"),
        ("version: 4.2.7\n", "torque"),
    ],
)
def test_pbs_is_told_by_its_version(text: str, kind: str) -> None:
    assert choose_pbs(Answering(0, text)) == kind


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (
            127,
            "sh: 1: qstat: not found\n",
            "neither PBS Pro nor Torque on cluster.example.org: qstat is not on",
        ),
        (2, 'Unknown option "--version"\n', "says 'Unknown option"),
        (1, "", "says nothing"),
    ],
)
def test_no_pbs_is_said_clearly(code: int, text: str, words: str) -> None:
    with pytest.raises(SubmissionError, match=words):
        choose_pbs(Answering(code, text))
