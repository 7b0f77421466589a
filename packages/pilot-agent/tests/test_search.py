"""Programs are found once, and not remembered without end."""

from __future__ import annotations

from pathlib import Path

from pilot_agent.spawn.search import FOUND_KEPT, ProgramSearch


def test_what_was_found_is_remembered_within_bounds(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.touch(mode=0o700)
    search = ProgramSearch()
    for number in range(FOUND_KEPT + 10):
        assert search.find("program", f"/{number}:{tmp_path}") == str(program)
    assert len(search._found) == 10
