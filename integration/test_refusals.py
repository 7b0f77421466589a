"""What cannot be done is refused, never ignored."""

from __future__ import annotations

from pathlib import Path

import pytest

from child_program import run_python

DATA_UNIT = "redis://localhost:6379/0?session=s-aaaaaaaaaaaaaaaa&du=du-aaaaaaaaaaaa"

ABSENT = {
    "another machine": "pilots.create_pilot({'service_url': 'fork://elsewhere', 'number_of_processes': 1})",
    "files beside a pilot's folder": "pilots.create_pilot({**PILOT, 'file_transfer': ['/etc/hostname > /tmp/x']})",
    "data of another session": f"run({{'input_data': ['{DATA_UNIT}']}})",
    "a data unit without a place": "work.submit_data_unit({'file_urls': ['/etc/hostname']})",
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
