"""What batch systems are told and what they answer, word for word.

The answers of PBS Pro were recorded from OpenPBS 23.06; those of Torque, LSF and HTCondor follow their manuals and sources.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pilot.submission.dialects import DIALECTS, choose_pbs
from pilot.submission.dialects.dialect import job_text
from pilot.submission.dialects.pbs_text import parse_id
from pilot.submission.place import Output
from pilot.submission.queue import Job, JobPhase, JobState
from pilot_protocol.errors import SubmissionError

JOB = Job("pilot-p-abcdefgh", "/s/job.sh", "/s", "/s/agent.out", "/s/agent.err", 90.5, cores=16)
NODES: dict[str, Any] = {"cores": 16, "processes_per_node": 8, "gpus_per_node": 2, "memory_per_node_mb": 2000}
WHOLE: dict[str, Any] = {"cores": None, "nodes": 2}
QUEUED, RUNNING, ENDED, UNKNOWN = JobPhase.QUEUED, JobPhase.RUNNING, JobPhase.ENDED, JobPhase.UNKNOWN

OPENPBS = """\
Job Id: 1000.head
    Job_Name = waits
    job_state = Q
    comment = Can Never Run: Insufficient amount of resource: ncpus (R: 36 A: 8
\t T: 8)
    etime = Sun Nov 22 16:44:36 2026

Job Id: 1001.head
    Job_Name = samplejob
    resources_used.walltime = 00:00:04
    job_state = F
    exec_host = node1/0*2+node2/0*2
    Variable_List = PBS_O_HOME=/home/rptest,PBS_O_LOGNAME=rptest,
\tPBS_O_PATH=/opt/pbs/bin:/opt/pbs/bin:/usr/local/bin:/usr/bin:/bin,
\tPBS_O_SYSTEM=Linux,PBS_O_QUEUE=workq,PBS_O_HOST=head
    comment = Job run at Sun Nov 22 at 16:44 on (node1:ncpus=2)+(node2:ncpus=2)
\t and failed
    Exit_status = 3

Job Id: 1002.head
    job_state = R
\t
Job Id: 1003.head
    job_state = F
    Exit_status = -29

Job Id: 1004.head
    job_state = F
    Exit_status = 271
"""
TORQUE = """\
Job Id: 7.head.example.org
    Job_Name = a
    job_state = C
    exec_host = node1/0+node1/1
    exit_status = 0

Job Id: 8.head.example.org
    job_state = C
    exit_status = -11

Job Id: 9.head.example.org
    job_state = E
Job Id: 10.head.example.org
    job_state = C
"""
LSF = """\
101|PEND|-|-
102|RUN|-|-
103|DONE|-|-
104|EXIT|3|-
105|EXIT|140|TERM_RUNLIMIT: job killed after reaching LSF run time limit
106|UNKWN|-|-
107|SSUSP|-|-
"""
CONDOR_Q = """\
12, 0, 1, undefined, undefined, undefined, undefined, undefined
13, 0, 2, undefined, undefined, undefined, undefined, undefined
14, 0, 5, undefined, undefined, undefined, Error from slot1: no such file, (errno 2), undefined
15, 0, 3, undefined, undefined, undefined, undefined, via condor_rm (by user me)
"""
CONDOR_HISTORY = """\
16, 0, 4, false, 3, undefined, undefined, undefined
17, 0, 4, true, undefined, 9, undefined, undefined
18, 0, 3, undefined, undefined, undefined, undefined, via condor_rm (by user me)
"""


def directives(kind: str, **more: Any) -> list[str]:
    """Return the lines that say what a job needs, without their prefix."""
    lines = DIALECTS[kind].directives(replace(JOB, **more))
    return [line.partition(" ")[2] for line in lines]


def test_the_job_file_becomes_the_script() -> None:
    job = replace(JOB, folder="/s a/$b", script="/s a/$b/it's", output='/o "1"', error="/e")
    assert job_text(DIALECTS["torque"], job) == (
        "#!/bin/sh\n"
        "#PBS -N pilot-p-abcdefg\n#PBS -S /bin/sh\n#PBS -j oe\n#PBS -l nodes=1:ppn=16\n#PBS -l walltime=01:31:00\n"
        "umask 077\n"
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


def test_what_openpbs_says() -> None:
    assert DIALECTS["pbspro"].parse_states(OPENPBS) == {
        "1000.head": JobState(
            QUEUED, None, "Can Never Run: Insufficient amount of resource: ncpus (R: 36 A: 8 T: 8)"
        ),
        "1001.head": JobState(
            ENDED, 3, "Job run at Sun Nov 22 at 16:44 on (node1:ncpus=2)+(node2:ncpus=2) and failed"
        ),
        "1002.head": JobState(RUNNING),
        "1003.head": JobState(ENDED, None, "killed: it ran longer than its walltime (-29)"),
        "1004.head": JobState(ENDED, 128 + 15),
    }


def test_what_torque_says() -> None:
    assert DIALECTS["torque"].parse_states(TORQUE) == {
        "7.head.example.org": JobState(ENDED, 0),
        "8.head.example.org": JobState(ENDED, None, "killed: it ran longer than its walltime (-11)"),
        "9.head.example.org": JobState(RUNNING),
        "10.head.example.org": JobState(ENDED),
    }


def test_what_lsf_says() -> None:
    assert DIALECTS["lsf"].parse_states(LSF) == {
        "101": JobState(QUEUED),
        "102": JobState(RUNNING),
        "103": JobState(ENDED, 0),
        "104": JobState(ENDED, 3),
        "105": JobState(ENDED, 140, "TERM_RUNLIMIT: job killed after reaching LSF run time limit"),
        "106": JobState(UNKNOWN),
        "107": JobState(RUNNING),
    }


def test_what_condor_says() -> None:
    dialect = DIALECTS["condor"]
    assert dialect.recall is not None
    assert dialect.parse_states(CONDOR_Q) == {
        "12.0": JobState(QUEUED),
        "13.0": JobState(RUNNING),
        "14.0": JobState(QUEUED, None, "Error from slot1: no such file, (errno 2)"),
        "15.0": JobState(RUNNING, None, "via condor_rm (by user me)"),
    }
    assert dialect.recall.parse_states(CONDOR_HISTORY) == {
        "16.0": JobState(ENDED, 3),
        "17.0": JobState(ENDED, 128 + 9),
        "18.0": JobState(ENDED, None, "via condor_rm (by user me)"),
    }


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("nonsense", ["", "\n", "Job Id:\n", "a|b\n", "1, 2\n", "Cannot connect\n"])
def test_nonsense_is_no_state(kind: str, nonsense: str) -> None:
    assert DIALECTS[kind].parse_states(nonsense) == {}


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [
        ("pbspro", "qstat: Unknown Job Id 99999.head"),
        ("pbspro", "qdel: Job has finished 1001.head"),
        ("torque", "qstat: Unknown Job Id Error 6401.gb-ui-kun.els.sara.nl"),
        (
            "torque",
            "qdel: Request invalid for state of job MSG=invalid state for job - COMPLETE 1037416.admin",
        ),
        ("lsf", "Job <5> is not found"),
        ("lsf", "Job <11>: Job has already finished"),
        ("lsf", "Job <11>: No matching job found"),
        ("condor", "Job 99.0 not found"),
        ("condor", "Couldn't find/remove all jobs in cluster 99"),
    ],
)
def test_complaints_that_mean_that_a_job_is_gone(kind: str, complaint: str) -> None:
    assert DIALECTS[kind].gone.search(complaint)


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize(
    "complaint",
    [
        "qstat: cannot connect to server head (errno=15010)",
        "LSF is down. Please wait ...",
        "-- Failed to fetch ads from: <127.0.0.1:9618> : head",
        "qdel: Unauthorized Request  MSG=operation not permitted",
        "Job <5>: User permission denied",
    ],
)
def test_other_complaints_mean_trouble(kind: str, complaint: str) -> None:
    assert not DIALECTS[kind].gone.search(complaint)


class Answering:
    """A machine that answers every command alike."""

    name = "cluster.example.org"

    def __init__(self, code: int, text: str) -> None:
        self._output = Output(code, text.encode(), "")

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
