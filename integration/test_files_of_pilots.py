"""Files that a pilot is to find in its folder are there when its agent starts, also on another machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot import TransferError
from resource_bench import only
from trouble_bench import TroubleBench

pytestmark = [pytest.mark.timeout(180), only("ssh")]


def test_files_are_copied_into_the_folder_of_a_pilot(at: TroubleBench, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("words")
    pilot = at.running(file_transfer=[f"{tmp_path}/in.txt > BIGJOB_WORK_DIR", f"{tmp_path}/in.txt > sub/"])
    (sandbox,) = at.resource.home.rglob(pilot.id)
    assert [(sandbox / name).read_text() for name in ("in.txt", "sub/in.txt")] == ["words", "words"]


def test_a_pilot_whose_files_are_not_there_is_not_started(at: TroubleBench, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match=r"nothing\.txt"):
        at.pilot(file_transfer=[f"{tmp_path}/nothing.txt > BIGJOB_WORK_DIR"])
    assert "nothing.txt" in at.last_failure()
