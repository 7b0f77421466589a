"""What batch systems answer, word for word.

The answers of PBS Pro were recorded from OpenPBS 23.06; those of Torque, LSF and HTCondor follow their manuals and sources.
"""

from __future__ import annotations

import pytest

from pilot.submission.dialects import DIALECTS
from pilot.submission.queue import JobPhase, JobState

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
