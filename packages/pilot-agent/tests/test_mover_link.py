"""The head's way to the mover: what it hears, when it is started again, and what becomes of units where there is none."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pilot_agent.actions import MoveRequest
from pilot_agent.config import AgentConfig
from pilot_agent.events import Moved
from pilot_agent.mover_link import MOST_STARTS, MoverLink, greeting
from pilot_agent.mover_place import MoverPlace, mover_place
from pilot_protocol.errors import SubmissionError

IN_A = MoveRequest("in", "a", 1, "/box/a", {"du-i": ["*"]}, ["x > y"])
LINES = "import json, os, sys\nfor line in sys.stdin:\n    said = json.loads(line)\n    print(line.strip(), file=log, flush=True)\n"
ANSWERS = """    if said.get("do") in ("in", "out"):
        print(json.dumps({"unit": said["unit"], "attempt": said["attempt"], "did": said["do"], "error": ""}), flush=True)
"""


class Talk:
    """A link to little programs that stand in for the mover, and all its answers."""

    def __init__(self, folder: Path, body: str) -> None:
        self.folder = folder
        self.answers: asyncio.Queue[Moved] = asyncio.Queue()
        self.heard = folder / "heard"
        program = f"log = open({str(self.heard)!r}, 'a')\n{LINES}{body}"
        place = MoverPlace([sys.executable, "-c", program], dict(os.environ))
        self.link = MoverLink({"pilot": "p-a"}, folder / "mover.log", self.answers.put_nowait, lambda: place)

    async def answer(self) -> Moved:
        return await asyncio.wait_for(self.answers.get(), 30)

    @property
    def lines(self) -> list[str]:
        return self.heard.read_text().splitlines()


def talk(folder: Path, body: str, act: Callable[[Talk], Awaitable[None]]) -> Talk:
    """Let a test talk to a mover, and end it."""

    async def main() -> Talk:
        made = Talk(folder, body)
        try:
            await act(made)
        finally:
            await made.link.stop(5.0)
        return made

    return asyncio.run(main())


def test_nothing_is_asked_before_the_epoch_is_known(tmp_path: Path) -> None:
    async def act(made: Talk) -> None:
        made.link.ask([IN_A])
        assert made.link.pids() == ()
        made.link.know("7")
        assert await made.answer() == Moved("a", 1, "in")
        made.link.know("8")
        made.link.ask([MoveRequest("release", "a", 1), MoveRequest("out", "a", 1, "/box/a")])
        assert await made.answer() == Moved("a", 1, "out")

    made = talk(tmp_path, ANSWERS, act)
    assert made.lines == [
        '{"pilot":"p-a","fresh":true}',
        '{"epoch":"7"}',
        '{"do":"in","unit":"a","attempt":1,"folder":"/box/a","data":{"du-i":["*"]},"transfers":["x > y"]}',
        '{"epoch":"8"}',
        '{"do":"release","unit":"a","attempt":1}',
        '{"do":"out","unit":"a","attempt":1,"folder":"/box/a","data":{},"transfers":[]}',
    ]


def test_one_that_is_needed_for_others_is_there_without_a_request(tmp_path: Path) -> None:
    async def act(made: Talk) -> None:
        made.link.serve()
        assert made.link.pids() == ()
        made.link.know("7")
        made.link.serve()
        (first,) = made.link.pids()
        made.link.serve()
        assert list(made.link.pids()) == [first]

    assert talk(tmp_path, ANSWERS, act).lines == ['{"pilot":"p-a","fresh":true}', '{"epoch":"7"}']


def test_a_mover_that_dies_again_and_again_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    body = '    if "do" in said:\n        sys.exit("no room for a mover")\n'

    async def act(made: Talk) -> None:
        made.link.know("7")
        made.link.ask([IN_A])
        answer = await made.answer()
        assert answer == Moved(
            "a", 1, "in", f"the mover ended {MOST_STARTS} times without an answer: no room for a mover"
        )
        made.link.ask([IN_A])
        assert "ended 6 times" in (await made.answer()).error, "the next one is tried once more"

    made = talk(tmp_path, body, act)
    assert sum("fresh" in line for line in made.lines) == MOST_STARTS + 1


def test_a_canceled_request_of_a_mover_that_dies_is_not_asked_again(tmp_path: Path) -> None:
    body = '    if said.get("do") == "cancel":\n        sys.exit()\n'

    async def act(made: Talk) -> None:
        made.link.know("7")
        made.link.ask([IN_A, MoveRequest("cancel", "a", 1)])
        assert await made.answer() == Moved("a", 1, "in", "canceled")

    made = talk(tmp_path, body, act)
    assert sum("fresh" in line for line in made.lines) == 1


def test_a_new_mover_hears_who_has_ended_since_the_one_before_may_not_have(tmp_path: Path) -> None:
    first_dies = """    is_first = said.get("fresh", globals().get("is_first"))
    if is_first and said.get("unit") == "b":
        os._exit(1)
"""
    body = f"{first_dies}{ANSWERS}"

    async def act(made: Talk) -> None:
        made.link.know("7")
        made.link.ask([IN_A])
        await made.answer()
        made.link.ask([MoveRequest("release", "a", 1), MoveRequest("in", "b", 1, "/box/b")])
        assert await made.answer() == Moved("b", 1, "in")

    made = talk(tmp_path, body, act)
    second = made.lines[made.lines.index('{"pilot":"p-a","fresh":false}') :]
    assert second[2:] == [
        '{"do":"release","unit":"a","attempt":1}',
        '{"do":"in","unit":"b","attempt":1,"folder":"/box/b","data":{},"transfers":[]}',
    ]


def test_a_mover_that_does_not_end_is_killed(tmp_path: Path) -> None:
    body = f"{ANSWERS}    if 'do' in said:\n        import time\n        time.sleep(600)\n"

    async def main() -> int:
        made = Talk(tmp_path, body)
        made.link.know("7")
        made.link.ask([IN_A])
        await made.answer()
        (pid,) = made.link.pids()
        await made.link.stop(0.0)
        assert made.link.pids() == ()
        return pid

    assert os.WTERMSIG(os.waitpid(asyncio.run(main()), 0)[1]) == signal.SIGKILL


def test_a_request_larger_than_a_pipe_arrives(tmp_path: Path) -> None:
    names = [f"{number:06}" for number in range(50_000)]

    async def act(made: Talk) -> None:
        made.link.know("7")
        made.link.ask([IN_A._replace(data={"du-i": names}), MoveRequest("out", "a", 1)])
        assert {(await made.answer()).did, (await made.answer()).did} == {"in", "out"}

    made = talk(tmp_path, ANSWERS, act)
    assert len(made.lines[2]) > 400_000


def test_what_makes_no_sense_is_passed_over(tmp_path: Path) -> None:
    body = f"    print('[]', flush=True)\n    print(json.dumps(dict(unit=[], attempt=[], did='in', error='')), flush=True)\n    print('hello', flush=True)\n{ANSWERS}"

    async def act(made: Talk) -> None:
        made.link.know("7")
        made.link.ask([IN_A])
        assert await made.answer() == Moved("a", 1, "in")

    talk(tmp_path, body, act)


def test_units_fail_where_nothing_can_be_moved(tmp_path: Path) -> None:
    def nowhere() -> MoverPlace:
        return mover_place({}, str(tmp_path), path=[])

    async def main() -> None:
        answers: list[Moved] = []
        link = MoverLink({}, tmp_path / "mover.log", answers.append, nowhere)
        link.know("7")
        link.ask([IN_A])
        (answer,) = answers
        assert (answer.unit_id, answer.attempt, answer.did) == ("a", 1, "in")
        assert "pilot-data is not there" in answer.error
        assert "install it where the pilot runs, or beside pilot-client" in answer.error

    asyncio.run(main())


def test_an_agent_in_one_file_finds_its_mover_in_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pilot_agent.mover_place._LEAST_PYTHON", (3, 9))
    archive = tmp_path / "agent.pyz"
    with zipfile.ZipFile(archive, "w") as bundle:
        bundle.writestr("data/pilot_data/__init__.py", "")
    found = mover_place({"PYTHONPATH": "/mine", "HOME": "/h"}, str(archive), path=[])
    assert found.command == [sys.executable, "-m", "pilot_data.node"]
    assert found.environment == {"PYTHONPATH": f"{archive}/data:{archive}:/mine", "HOME": "/h"}


def test_an_old_python_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pilot_data").mkdir()
    (tmp_path / "pilot_data" / "__init__.py").touch()
    monkeypatch.setattr("pilot_agent.mover_place._LEAST_PYTHON", (99, 0))
    with pytest.raises(SubmissionError, match="needs Python"):
        mover_place({}, str(tmp_path), path=[str(tmp_path)])


def test_the_greeting_says_who_a_mover_works_for(tmp_path: Path) -> None:
    config = AgentConfig(tmp_path, "redis://far", "s-a", b"\1" * 32, "p-a", 2, tmp_path, label="d,m")
    said: dict[str, Any] = greeting(config, "redis://near")
    assert said == {
        "session": "s-a", "coordination_url": "redis://near", "key_hex": "01" * 32, "pilot": "p-a", "label": "d,m",
        "sandbox": str(tmp_path), "cache_mb": 0, "transfers": 4,
    }  # fmt: skip
