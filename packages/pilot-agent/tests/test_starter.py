"""What a start that fails leaves behind: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilot_agent.node.lanes import LanePool
from pilot_agent.node.orders import parse_order
from pilot_agent.node.starter import Starter
from pilot_agent.spawn.failures import StartError


@pytest.mark.parametrize("error", [StartError("cannot"), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no")])
def test_the_lane_of_a_unit_that_could_not_be_started_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_arguments: object) -> int:
        raise error

    monkeypatch.setattr("pilot_agent.node.starter.spawn", fail)
    monkeypatch.chdir(tmp_path)
    lanes = LanePool(str(tmp_path / "lanes"), 0)
    starter = Starter(str(tmp_path), lanes, {"PATH": "/bin"})
    order = parse_order({"id": "cu-1", "attempt": 1, "exe": "/bin/true", "sandbox": str(tmp_path / "cu-1")})
    for _ in range(3):
        with pytest.raises(type(error)):
            starter.start(starter.prepare(order), [0], 0.0)
    assert [path.name for path in (tmp_path / "lanes").iterdir()] == ["0-0"]
