"""A target that follows a changing folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from cli_runs import one_line, program, started
from pilot_data.errors import TransferError
from pilot_data.job import Job
from pilot_data.testing.sample_files import write, write_all
from pilot_data.testing.storage_fixture import names_below
from pilot_data.transfer_legs import Request
from pilot_data.transfer_report import Listener
from pilot_data.watching import Changes, rounds
from pilot_protocol.errors import DescriptionError

pytest.importorskip("watchdog")


def test_what_changes_is_copied_and_nothing_else(tmp_path: Path) -> None:
    here, there = f"{tmp_path}/here", f"{tmp_path}/there"
    write_all(here, ["a", "b", "sub/c"])
    request = Request((here,), there, only_changed=True, mirrors=True, deletes=True)
    with Changes(here) as changes:
        going = rounds(request, changes, Job(), Listener())
        assert next(going).moved == 3
        write(here, "a", b"changed")
        write(here, "new/d", b"new")
        os.unlink(f"{here}/b")
        moved = removed = 0
        while (moved, removed) != (2, 1):
            report = next(going)
            assert report.is_complete
            moved, removed = moved + report.moved, removed + report.removed
        assert names_below(there) == ["a", "new/d", "sub/c"]
        going.close()


def test_a_file_that_failed_is_copied_when_it_changes_again(tmp_path: Path) -> None:
    here = f"{tmp_path}/here"
    write_all(here, ["a"])

    class Meddling(Listener):
        def planned(self, files: int, size: int) -> None:
            if files and not os.path.exists(f"{here}/b"):
                write(here, "a", b"changed meanwhile")
                write(here, "b", b"")

    request = Request((here,), f"{tmp_path}/there", only_changed=True, mirrors=True)
    with Changes(here) as changes:
        going = rounds(request, changes, Job(), Meddling())
        assert [outcome.item.target for outcome in next(going).failures] == ["a"]
        assert next(going).moved == 2
        going.close()


def test_the_command_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    here = f"{tmp_path}/here"
    write_all(here, ["a"])
    running = started("watch", "--json", here, f"{tmp_path}/there")
    assert running.stdout is not None
    seen = [running.stdout.readline() for _ in range(3)]
    assert '"ended"' in seen[-1]
    write(here, "b", b"x")
    while '"target": "b"' not in seen[-1]:
        seen.append(running.stdout.readline())
        assert seen[-1]
    running.send_signal(signal.SIGINT)
    _out, err = running.communicate()
    assert running.returncode == 130
    assert "Traceback" not in err
    assert names_below(f"{tmp_path}/there") == ["a", "b"]


def test_a_folder_that_cannot_be_watched_is_told(tmp_path: Path) -> None:
    with pytest.raises(DescriptionError, match="only local folders"):
        Changes("ssh://host/x")
    with pytest.raises(TransferError, match=r"cannot watch .*absent"):
        Changes(f"{tmp_path}/absent")


def test_without_the_library_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "watchdog").mkdir()
    (tmp_path / "watchdog" / "__init__.py").write_text("raise ImportError\n")
    ended = program("watch", str(tmp_path), f"{tmp_path}-2", environment={"PYTHONPATH": str(tmp_path)})
    assert ended.code == 2
    assert one_line(ended.err, 'pip install "pilot-data[watch]"')
