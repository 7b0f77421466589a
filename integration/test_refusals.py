"""What the README says is not in this version is refused, never ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from child_program import run_python

DATA_UNIT = "redis://localhost:6379/0?session=s-aaaaaaaaaaaaaaaa&du=du-aaaaaaaa"

ABSENT = {
    "another machine": "pilots.create_pilot({'service_url': 'fork://elsewhere', 'number_of_processes': 1})",
    "files of a pilot": "pilots.create_pilot({**PILOT, 'file_transfer': ['ssh://host/file > BIGJOB_WORK_DIR']})",
    "files of a unit": "run({'file_transfer': ['ssh://host/file > SUBJOB_WORK_DIR']})",
    "input data": f"run({{'input_data': ['{DATA_UNIT}']}})",
    "output data": f"run({{'output_data': [{{'{DATA_UNIT}': ['std*']}}]}})",
    "submitting a data unit": "work.submit_data_unit({'file_urls': []})",
}

PROGRAM = """\
from pilot import ComputeDataService, PilotComputeService, PilotError

PILOT = {{"service_url": "fork://localhost", "number_of_processes": 1}}

with PilotComputeService() as pilots, ComputeDataService() as work:
    pilots.create_pilot(PILOT)
    work.add_pilot_compute_service(pilots)

    def run(keys):
        return work.submit_compute_unit({{"executable": "/bin/date", **keys}}).result()

    try:
        {statement}
    except PilotError as error:
        print("refused:", error)
"""


@pytest.mark.parametrize("what", ABSENT)
def test_is_refused(what: str, home: Path, environment: dict[str, str]) -> None:
    program = home / "absent.py"
    program.write_text(PROGRAM.format(statement=ABSENT[what]))
    ended = run_python(program, environment)
    ended.check_clean()
    assert ended.stdout.startswith("refused: ")
