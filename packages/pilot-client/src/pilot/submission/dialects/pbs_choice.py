"""Which PBS is on a machine: PBS Pro and Torque have the same commands, and differ in what they take and print.

The invariant: what cannot be told for sure is refused.
"""

from __future__ import annotations

import re
from typing import Literal

from pilot.submission.login_command import login_command
from pilot.submission.place import Output, Place
from pilot_protocol.errors import SubmissionError

_PBSPRO = re.compile(r"pbs_version|pbspro|openpbs", re.IGNORECASE)
_TORQUE = re.compile(r"^\s*version:\s*\d", re.IGNORECASE | re.MULTILINE)
_QUESTION = "qstat --version 2>&1"


def choose_pbs(place: Place) -> Literal["pbspro", "torque"]:
    """Return the dialect of the PBS of a machine.

    Raises:
        SubmissionError: There is none, or its ``qstat`` is that of another batch system; or the machine is not reached.
    """
    output = place.run(login_command("qstat", _QUESTION))
    if _PBSPRO.search(output.text):
        return "pbspro"
    if _TORQUE.search(output.text):
        return "torque"
    raise SubmissionError(f"there is neither PBS Pro nor Torque on {place.name}: {_finding(output)}")


def _finding(output: Output) -> str:
    if output.code == 127:
        return "qstat is not on the PATH of a login shell there; is that the right host?"
    lines = output.text.strip().splitlines()
    said = repr(lines[0]) if lines else "nothing"
    return f"`qstat --version` says {said}; name the batch system in service_url (sge://, slurm://, …)"
