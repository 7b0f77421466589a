"""What becomes of replicas when the processes that make them, or the server, are killed: nothing is lost or made twice."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cli_runs import started
from pilot_data import DataUnit, PilotData, PilotDataService, State
from pilot_data.testing.sample_files import read_all, write
from pilot_protocol.keys import Keys
from pilot_session import coordination_url
from redis_process import RedisProcess
from serving_programs import LIMIT_S, ServingProgram, asked_for, serving
from shared_data import running_server, use_home

pytestmark = pytest.mark.faults

COUNT = 50
LARGE = 8 * 1024 * 1024
SLOWLY = ("--bandwidth", "64k", "--transfers", "1")
"""So slow that the large file is on its way until somebody ends that."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisProcess]:
    """A server of the test's own, and a user who has never run anything."""
    use_home(tmp_path, monkeypatch)
    with tempfile.TemporaryDirectory(prefix="pd-") as folder, running_server(Path(folder)) as server:
        yield server


@pytest.fixture
def pd(server: RedisProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PilotData:
    """A Pilot-Data that no service of this process serves."""
    made = PilotDataService(server.url).create_pilot({"service_url": f"file://{tmp_path}/store"})
    monkeypatch.setenv("PILOT_COORDINATION_URL", server.url)
    return made


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with a few small files."""
    for number in range(3):
        write(f"{tmp_path}/small", f"f{number}", bytes(1000 + number))
    return tmp_path / "small"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A large file."""
    write(str(tmp_path), "large", bytes(LARGE))
    return tmp_path / "large"


def folder_of(pd: PilotData, unit: DataUnit) -> Path:
    return Path(pd.url_for_du(unit).removeprefix("file://"))


def pass_leases(server: RedisProcess, unit: DataUnit) -> None:
    """Let the lease of a data unit's only replica have passed, without waiting for it."""
    found = coordination_url.parse_object_url(unit.url)
    name = Keys(found.session).named("replicas")
    with server.client() as client:
        parts = client.hget(name, found.id).split(b"|")
        assert parts[1] == b"R"
        client.hset(name, found.id, b"|".join([*parts[:3], b"0", *parts[4:]]))


def check_all(pd: PilotData, units: list[DataUnit], small: Path, programs: list[ServingProgram]) -> None:
    """Make sure that each data unit is whole, and was made once."""
    for unit in units:
        assert unit.wait(LIMIT_S)
        assert (unit.state, read_all(str(folder_of(pd, unit)))) == (State.Running, read_all(str(small)))
    size = sum(path.stat().st_size for path in small.iterdir())
    assert pd.details["used"] == size * len(units)
    names = {unit.id for unit in units}
    assert all(program.comes_to(lambda: _all_made(programs, names)) for program in programs)
    assert Counter(name for program in programs for name in program.made()) == Counter(names)
    assert sum(one["bytes"] for program in programs for one in program.told("replica")) == size * len(units)


def _all_made(programs: list[ServingProgram], names: set[str]) -> bool:
    return names <= {name for program in programs for name in program.made()}


def test_two_share_fifty_replicas_and_make_each_once(pd: PilotData, small: Path) -> None:
    with ExitStack() as stack:
        programs = [stack.enter_context(serving()) for _ in range(2)]
        units = [asked_for(pd, f"{small}/") for _ in range(COUNT)]
        check_all(pd, units, small, programs)
        begun = Counter(one["id"] for program in programs for one in program.told("begun"))
        assert begun == Counter(unit.id for unit in units)
        assert all(program.made() for program in programs), "both have had a share"


def test_the_server_is_killed_in_the_middle_and_comes_back(
    server: RedisProcess, pd: PilotData, small: Path
) -> None:
    units = [asked_for(pd, f"{small}/") for _ in range(COUNT)]
    with ExitStack() as stack:
        first, second = (stack.enter_context(serving()) for _ in range(2))
        assert first.comes_to(lambda: bool(first.told("begun")))
        server.kill()
        server.start()
        for unit in units:
            assert unit.wait(LIMIT_S)
            assert (unit.state, read_all(str(folder_of(pd, unit)))) == (State.Running, read_all(str(small)))
        begun = Counter(one["id"] for program in (first, second) for one in program.told("begun"))
        assert begun == Counter(unit.id for unit in units)


def test_one_that_comes_after_a_killed_one_goes_on_with_what_has_arrived(
    server: RedisProcess, pd: PilotData, large: Path
) -> None:
    unit = asked_for(pd, str(large))
    with serving(*SLOWLY) as killed:
        assert killed.tells("begun", id=unit.id)
        assert killed.end(signal.SIGKILL) == (-signal.SIGKILL, "")
    pass_leases(server, unit)
    with serving() as other:
        assert other.tells("replica", id=unit.id, state="Done", bytes=LARGE)
    assert unit.state is State.Running
    assert (folder_of(pd, unit) / "large").read_bytes() == large.read_bytes()
    assert [path.name for path in folder_of(pd, unit).iterdir()] == ["large"]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_one_that_serves_beside_a_killed_one_finishes_when_the_lease_is_over(
    pd: PilotData, large: Path, small: Path
) -> None:
    unit = asked_for(pd, str(large))
    with serving(*SLOWLY) as killed, ExitStack() as stack:
        assert killed.tells("begun", id=unit.id)
        other = stack.enter_context(serving())
        for _ in range(3):
            assert asked_for(pd, f"{small}/").wait(LIMIT_S)
        assert other.told("begun")
        assert unit.id not in [one["id"] for one in other.told("begun")]
        killed.end(signal.SIGKILL)
        assert other.comes_to(lambda: unit.id in other.made(), 90)
    assert unit.state is State.Running
    assert (folder_of(pd, unit) / "large").read_bytes() == large.read_bytes()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_that_is_ended_hands_back_what_it_has_begun(
    pd: PilotData, large: Path, number: int, code: int
) -> None:
    unit = asked_for(pd, str(large))
    with serving(*SLOWLY) as leaving:
        assert leaving.tells("begun", id=unit.id)
        assert leaving.end(number) == (code, "")
        assert leaving.events[-1] | {"reason": ""} == {
            "event": "replica",
            "id": unit.id,
            "pilot_data": pd.id,
            "state": "Pending",
            "bytes": 0,
            "reason": "",
        }
    replica = unit.details["replicas"][pd.id]
    assert (unit.state, replica["state"]) == (State.Pending, State.Pending)
    with serving() as other:
        assert other.tells("replica", id=unit.id, state="Done")
    assert (folder_of(pd, unit) / "large").read_bytes() == large.read_bytes()


def test_a_second_ctrl_c_ends_at_once(pd: PilotData, large: Path) -> None:
    asked_for(pd, str(large))
    with serving(*SLOWLY) as leaving:
        assert leaving.tells("begun")
        leaving.process.send_signal(signal.SIGINT)
        code, err = leaving.end(signal.SIGINT)
    assert code in {130, -signal.SIGINT}
    assert "Traceback" not in err


def test_one_without_readers_of_its_output_ends(pd: PilotData, small: Path) -> None:
    reading, writing = os.pipe()
    program = started("serve", "--json", stdout=writing)
    os.close(writing)
    assert b"serving" in os.read(reading, 1000)
    os.close(reading)
    asked_for(pd, f"{small}/")
    _out, err = program.communicate(timeout=LIMIT_S)
    assert (program.returncode, err) == (141, "")
