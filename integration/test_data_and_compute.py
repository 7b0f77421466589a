"""Data and compute together: compute units read data units and add to them, at pilots of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from child_program import run_python
from closed_sessions import close_sessions
from pilot import ComputeDataService, ComputeUnit, PilotComputeService, State
from pilot_data import DataUnit, PilotData, PilotDataService

pytestmark = pytest.mark.timeout(180)

LIMIT_S = 90.0
HERE, THERE = "here", "there"


@dataclass(frozen=True)
class Bench:
    """Services of one application, and a folder.

    Attributes:
        pilots: A PilotComputeService.
        stores: A PilotDataService.
        work: A ComputeDataService that uses both.
        folder: Of the test.
    """

    pilots: PilotComputeService
    stores: PilotDataService
    work: ComputeDataService
    folder: Path

    def pilot(self, datacenter: str = "", **keys: Any) -> None:
        """Create a pilot of two cores, and wait until it runs."""
        pilot = self.pilots.create_pilot(
            {
                "service_url": "fork://localhost",
                "number_of_processes": 2,
                "working_directory": str(self.folder / "agents"),
                "affinity_datacenter_label": datacenter,
                **keys,
            }
        )
        assert pilot.wait(LIMIT_S, state="Running") == "Running", pilot.details

    def store(self, name: str = "store", datacenter: str = "", **keys: Any) -> PilotData:
        """Create a Pilot-Data in a folder."""
        store: PilotData = self.stores.create_pilot(
            {"service_url": f"file://{self.folder / name}", "affinity_datacenter_label": datacenter, **keys}
        )
        return store

    def files(self, store: PilotData, **contents: str) -> DataUnit:
        """Make a data unit of files, each with its content, and wait until it is there."""
        folder = self.folder / f"from-{'-'.join(contents)}"
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_text(content)
        unit = store.submit_data_unit({"file_urls": [f"{folder}/"]})
        assert unit.wait(LIMIT_S)
        assert unit.state is State.Running, unit.details
        return unit

    def empty(self) -> DataUnit:
        """Make a data unit without files."""
        unit: DataUnit = self.work.submit_data_unit({})
        return unit

    def run(self, script: str, **keys: Any) -> ComputeUnit:
        """Submit a unit that runs lines of a shell."""
        return self.work.submit_compute_unit(
            {"executable": "/bin/sh", "arguments": ["-ec", script], "expand_arguments": False, **keys}
        )

    def finish(self) -> None:
        """Wait until all has ended."""
        assert self.work.wait(LIMIT_S), [unit.details for unit in self.work.list_compute_units()]


@pytest.fixture
def bench(
    redis_url: str, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with (
        PilotComputeService(redis_url) as pilots,
        PilotDataService(redis_url) as stores,
        ComputeDataService() as work,
    ):
        work.add_pilot_compute_service(pilots)
        work.add_pilot_data_service(stores)
        yield Bench(pilots, stores, work, tmp_path)
    close_sessions()


def content(unit: DataUnit, folder: Path) -> dict[str, str]:
    """Return what is in the files of a data unit, by their names."""
    target = folder / f"export-{unit.id}"
    unit.export(str(target))
    return {
        str(path.relative_to(target)): path.read_text()
        for path in sorted(target.rglob("*"))
        if path.is_file()
    }


# --- input --------------------------------------------------------------------------------------------------------------


def test_input_that_lies_on_the_node_is_linked_and_not_copied(bench: Bench) -> None:
    bench.pilot()
    data = bench.files(bench.store(), a="one\n")
    unit = bench.run("readlink -f a; cat a", input_data=[data])
    target, line = unit.result(LIMIT_S).stdout().splitlines()
    assert target == str((bench.folder / "store" / data.id / "a").resolve())
    assert line == "one"


def test_patterns_choose_files(bench: Bench) -> None:
    bench.pilot()
    store = bench.store()
    data, more = (
        bench.files(store, **{"a.dat": "1\n", "b.dat": "2\n", "c.txt": "3\n"}),
        bench.files(store, d="4\n"),
    )
    unit = bench.run("ls", input_data=[{data.url: ["a*", "*.txt"]}, more])
    assert unit.result(LIMIT_S).stdout().split() == ["a.dat", "c.txt", "d"]


def test_a_pattern_without_files_fails_the_unit(bench: Bench) -> None:
    bench.pilot()
    data = bench.files(bench.store(), a="1\n")
    unit = bench.run("true", input_data=[{data: ["*.dat"]}])
    assert unit.wait(LIMIT_S) is State.Failed
    assert unit.details["reason"] == "staging"
    assert "*.dat" in unit.details["message"]


def test_units_that_need_no_data_run_beside_those_that_do(bench: Bench) -> None:
    bench.pilot()
    data = bench.files(bench.store(), a="1\n")
    units = [bench.run("true", input_data=[data] if number % 2 else []) for number in range(40)]
    bench.finish()
    assert {unit.state for unit in units} == {State.Done}


# --- output -------------------------------------------------------------------------------------------------------------


def test_output_is_collected_with_its_folders(bench: Bench) -> None:
    bench.pilot()
    store, out = bench.store(), bench.empty()
    unit = bench.run(
        "mkdir -p sub/deep; echo 1 > sub/deep/a; echo 2 > b; echo 3 > no",
        output="stdout.txt",
        output_data=[{out: ["sub/**", "b", "std*"]}],
    )
    bench.finish()
    assert unit.state is State.Done, unit.details
    assert out.state is State.Running
    assert list(out.list_pilot_data()) == [store]
    assert content(out, bench.folder) == {"sub/deep/a": "1\n", "b": "2\n", "stdout.txt": ""}


def test_output_that_is_not_there_fails_the_unit_and_says_what_is(bench: Bench) -> None:
    bench.pilot()
    bench.store()
    unit = bench.run("echo 1 > result.dat", output_data=[{bench.empty(): ["*.txt"]}])
    assert unit.wait(LIMIT_S) is State.Failed
    details = unit.details
    assert details["reason"] == "staging"
    assert "*.txt" in details["message"]
    assert "result.dat" in details["message"]


def test_many_units_add_to_one_data_unit(bench: Bench) -> None:
    bench.pilot()
    bench.store()
    out = bench.empty()
    for number in range(12):
        bench.run(f"echo {number} > out-{number}", output_data=[{out: ["out-*"]}])
    bench.finish()
    assert content(out, bench.folder) == {f"out-{number}": f"{number}\n" for number in range(12)}


@pytest.mark.parametrize("keeps", [True, False])
def test_what_a_failed_unit_leaves_is_kept_when_that_is_wished(bench: Bench, keeps: bool) -> None:
    bench.pilot()
    bench.store()
    out = bench.empty()
    unit = bench.run("echo part > a; exit 3", output_data=[{out: ["a"]}], keep_failed_outputs=keeps)
    reader = bench.run("cat a", input_data=[out], on_dependency_failure="run")
    assert unit.wait(LIMIT_S) is State.Failed
    assert unit.exit_code == 3
    assert reader.wait(LIMIT_S) is (State.Done if keeps else State.Canceled)
    assert (reader.stdout() == "part\n") if keeps else (reader.details["reason"] == "dependency")


# --- chains -------------------------------------------------------------------------------------------------------------


def test_a_chain_through_data_units(bench: Bench) -> None:
    bench.pilot()
    start = bench.files(bench.store(), x="0\n")
    data = start
    for number in range(5):
        following = bench.empty()
        bench.run(
            f"cat x; (cat x; echo {number + 1}) > y; rm x; mv y x",
            input_data=[data],
            output_data=[{following: ["x"]}],
        )
        data = following
    bench.finish()
    assert content(data, bench.folder) == {"x": "0\n1\n2\n3\n4\n5\n"}
    assert content(start, bench.folder) == {"x": "0\n"}


def test_a_diamond(bench: Bench) -> None:
    bench.pilot()
    bench.store()
    top, bottom = bench.empty(), bench.empty()
    sides = [bench.empty() for _ in range(6)]
    last = bench.run("cat side-* > all; cat all", input_data=sides, output_data=[{bottom: ["all"]}])
    for number, side in enumerate(sides):
        bench.run(
            f"echo {number} $(cat top) > side-{number}", input_data=[top], output_data=[{side: ["side-*"]}]
        )
    first = bench.run("echo t > top", output_data=[{top: ["top"]}])
    bench.finish()
    assert (first.state, last.state) == (State.Done, State.Done), last.details
    assert last.stdout().splitlines() == [f"{number} t" for number in range(6)]
    assert content(bottom, bench.folder) == {"all": last.stdout()}


def test_a_branch_that_fails_takes_only_what_reads_its_data_with_it(bench: Bench) -> None:
    bench.pilot()
    bench.store()
    good, bad = bench.empty(), bench.empty()
    after_bad, after_good = [bench.run("true", input_data=[data], output_data=[]) for data in (bad, good)]
    last = bench.run("true", depends_on=[after_bad])
    failed = bench.run("exit 1", output_data=[{bad: ["*"]}])
    bench.run("echo 1 > a", output_data=[{good: ["a"]}])
    bench.finish()
    assert failed.state is State.Failed
    assert (after_good.state, after_bad.state, last.state) == (State.Done, State.Canceled, State.Canceled)
    details = after_bad.details
    assert details["reason"] == "dependency"
    assert bad.id in details["message"]


def test_a_unit_of_a_chain_that_is_canceled(bench: Bench) -> None:
    bench.pilot()
    bench.store()
    first, second = bench.empty(), bench.empty()
    reader = bench.run("true", input_data=[second])
    middle = bench.run("true", input_data=[first], output_data=[{second: ["*"]}])
    assert "no compute unit is to add files to it" in middle.details["reason"]
    assert "1 compute unit is still to add files" in reader.details["reason"]
    middle.cancel()
    assert reader.wait(LIMIT_S) is State.Canceled
    assert second.id in reader.details["message"]


def test_a_wait_ends_when_nobody_makes_the_data(bench: Bench) -> None:
    bench.pilot()
    data = bench.empty()
    unit = bench.run("true", input_data=[data])
    with pytest.warns(RuntimeWarning, match=rf"data unit {data.id}.*no compute unit is to add files to it"):
        assert not bench.work.wait(LIMIT_S)
    bench.store()
    bench.run("echo 1 > a", output_data=[{data: ["a"]}])
    bench.finish()
    assert unit.state is State.Done


# --- where units go -----------------------------------------------------------------------------------------------------


def test_a_unit_goes_where_its_data_is(bench: Bench) -> None:
    bench.pilot(HERE)
    bench.pilot(THERE)
    data = bench.files(bench.store(datacenter=THERE), a="1\n")
    unit = bench.run("true", input_data=[data])
    unit.result(LIMIT_S)
    placement = unit.details["placement"]
    assert (placement["kind"], placement["bytes"], placement["copies"]) == ("there", 0, [])
    assert placement["site"].startswith(THERE)
    assert len(placement["costs"]) == 2
    (pilot,) = (one for one in bench.pilots.list_pilots() if one.id == unit.details["pilot"])
    assert pilot.details["description"]["affinity_datacenter_label"] == THERE


def test_data_is_copied_to_where_a_unit_wishes_to_run(bench: Bench) -> None:
    bench.pilot(HERE)
    near = bench.store("near", HERE)
    data = bench.files(bench.store("far", THERE), a="content\n")
    unit = bench.run("readlink -f a", input_data=[data], affinity_datacenter_label=HERE)
    assert unit.result(LIMIT_S).stdout().startswith(str((bench.folder / "near").resolve()))
    placement = unit.details["placement"]
    assert (placement["kind"], placement["copies"]) == ("copied", [[data.id, near.id]])
    assert placement["bytes"] == len("content\n")
    assert set(data.list_pilot_data()) >= {near}


def test_without_a_place_nearby_data_comes_straight_to_the_node(bench: Bench) -> None:
    bench.pilot(HERE)
    data = bench.files(bench.store("far", THERE), a="content\n")
    unit = bench.run("cat a", input_data=[data])
    assert unit.result(LIMIT_S).stdout() == "content\n"
    assert unit.details["placement"]["kind"] == "straight"


def test_units_with_data_may_be_submitted_before_there_is_a_pilot(bench: Bench) -> None:
    data = bench.files(bench.store(), a="1\n")
    unit = bench.run("cat a", input_data=[data])
    assert unit.details["placement"]["kind"] == "nowhere"
    assert "no pilot" in unit.details["reason"]
    bench.pilot()
    assert unit.result(LIMIT_S).stdout() == "1\n"


def test_a_unit_without_data_has_no_placement(bench: Bench) -> None:
    bench.pilot()
    unit = bench.run("true")
    assert unit.result(LIMIT_S).details["placement"] is None


# --- files of other places ----------------------------------------------------------------------------------------------


def test_files_are_transferred_before_and_after(bench: Bench) -> None:
    bench.pilot()
    source, target = bench.folder / "in.txt", bench.folder / "out"
    source.write_text("words\n")
    target.mkdir()
    unit = bench.run(
        "tr a-z A-Z < in.txt > out.txt",
        file_transfer=[f"file://{source} > SUBJOB_WORK_DIR", f"file://{target}/ < out.txt"],
    )
    assert unit.result(LIMIT_S).state is State.Done
    assert (target / "out.txt").read_text() == "WORDS\n"


# --- direct submission, other processes, BigJob -------------------------------------------------------------------------


def test_a_unit_of_one_pilot_may_read_data(bench: Bench) -> None:
    bench.pilot()
    data = bench.files(bench.store(), a="1\n")
    (pilot,) = bench.pilots.list_pilots()
    unit = pilot.submit_compute_unit({"executable": "/bin/cat", "arguments": ["a"], "input_data": [data]})
    assert unit.result(LIMIT_S).stdout() == "1\n"


START = """
import os, sys
from pilot import ComputeDataService, PilotComputeService, PilotDataService

url, folder = sys.argv[1:]
pilots, stores, work = PilotComputeService(url), PilotDataService(url), ComputeDataService()
work.add_pilot_compute_service(pilots)
work.add_pilot_data_service(stores)
pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 2, "working_directory": folder + "/agents"})
stores.create_pilot({"service_url": "file://" + folder + "/store"})
os.mkfifo(folder + "/go")
data = work.submit_data_unit({})
first = {"executable": "/bin/sh", "arguments": ["-c", "read go < " + folder + "/go; echo 0 > x"]}
work.submit_compute_unit({**first, "output_data": [{data: ["x"]}]})
for number in range(4):
    following = work.submit_data_unit({})
    step = {"executable": "/bin/sh", "arguments": ["-c", "(cat x; echo more) > y; rm x; mv y x"]}
    work.submit_compute_unit({**step, "input_data": [data], "output_data": [{following: ["x"]}]})
    data = following
print(work.url, data.url, flush=True)
os._exit(0)
"""


class GoneClient:
    """Runs programs that submit and are gone, and then stands where their user does.

    Args:
        environment: Of the user.
        arguments: Of the programs.
        home: Where they lie.
    """

    def __init__(self, environment: dict[str, str], arguments: list[str], home: Path) -> None:
        self._environment, self._arguments, self._home = environment, arguments, home
        self.work = ""

    def leave(self, program: str) -> str:
        """Run a program; it prints the URL of its ComputeDataService, and another one, which is returned."""
        path = self._home / "start.py"
        path.write_text(program)
        started = run_python(path, self._environment, *self._arguments, something_stays=True)
        assert (started.code, started.stderr) == (0, "")
        self.work, other = started.lines[0].split()
        return other


@pytest.fixture
def gone(
    redis_url: str,
    home: Path,
    environment: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[GoneClient]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = GoneClient(environment, [redis_url, str(tmp_path)], home)
    yield client
    with ComputeDataService(cds_url=client.work) as work:
        for pilot in work.list_pilot_compute():
            pilot.cancel()
    close_sessions()


def test_a_chain_through_data_units_goes_on_without_its_client(gone: GoneClient, tmp_path: Path) -> None:
    data_url = gone.leave(START)
    with open(tmp_path / "go", "w", encoding="utf-8") as go:  # nobody but the agent is there by now
        go.write("go\n")
    work = ComputeDataService(cds_url=gone.work)
    assert work.wait(LIMIT_S)
    assert {unit.state for unit in work.list_compute_units()} == {State.Done}
    assert content(DataUnit(data_url), tmp_path) == {"x": "0\n" + 4 * "more\n"}


LEFT_ALONE = """
import os, sys
from pilot import ComputeDataService, PilotComputeService, PilotDataService
from pilot_data.stager import Stager

Stager._begin = lambda _self: None  # as if this program ended before it could move anything
url, folder = sys.argv[1:]
pilots, stores, work = PilotComputeService(url), PilotDataService(url), ComputeDataService()
work.add_pilot_compute_service(pilots)
work.add_pilot_data_service(stores)
pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 1, "working_directory": folder + "/agents"})
stores.create_pilot({"service_url": "file://" + folder + "/store"})
data = work.submit_data_unit({"file_urls": [__file__]})
unit = work.submit_compute_unit({"executable": "ls", "input_data": [data]})
print(work.url, unit.url, flush=True)
os._exit(0)
"""


def test_a_pilot_makes_the_replicas_that_its_units_wait_for_when_nobody_else_does(gone: GoneClient) -> None:
    unit = ComputeUnit(cu_url=gone.leave(LEFT_ALONE))  # serves nothing
    assert unit.result(LIMIT_S).stdout() == "start.py\n"


SCRIPTS = Path(__file__).with_name("bigjob_scripts")


@pytest.mark.parametrize("with_labels", ["", "1"])
def test_bigjob_s_compute_and_data(environment: dict[str, str], redis_url: str, with_labels: str) -> None:
    user = {**environment, "COORDINATION_URL": redis_url, "WITH_LABELS": with_labels}
    ended = run_python(SCRIPTS / "compute_data.py", user)
    ended.check_clean()
    assert ended.lines == ["input: Running", "cu: Done", "['stderr.txt', 'stdout.txt']", "words of the user"]


def test_bigjob_s_replication(environment: dict[str, str], redis_url: str) -> None:
    ended = run_python(SCRIPTS / "data_replication.py", {**environment, "COORDINATION_URL": redis_url})
    ended.check_clean()
    assert ended.lines == ["Running", "2", "True"]


EMBEDDED = """
import sys
from pilot import ComputeDataService, PilotComputeService, PilotDataService

folder, how = sys.argv[1:]
with open(folder + "/in.txt", "w") as file:
    file.write("words")
pilots, stores, work = PilotComputeService(), PilotDataService(), ComputeDataService()
work.add_pilot_compute_service(pilots)
work.add_pilot_data_service(stores)
pilots.create_pilot({"service_url": "fork://localhost", "number_of_processes": 1, "working_directory": folder + "/agents"})
stores.create_pilot({"service_url": "file://" + folder + "/store"})
data, out = work.submit_data_unit({"file_urls": [folder + "/in.txt"]}), work.submit_data_unit({})
unit = {"executable": "/bin/cp", "arguments": ["in.txt", "out.txt"], "input_data": [data], "output_data": [{out: ["out.txt"]}]}
last = work.submit_compute_unit({"executable": "/bin/cat", "arguments": ["out.txt"], "input_data": [out]})
work.submit_compute_unit(unit)
if how == "waits":
    work.wait()
    print(last.stdout(), out.state)
"""


@pytest.mark.parametrize("how", ["waits", "leaves"])
def test_an_application_with_a_server_of_its_own_leaves_nothing(
    home: Path, environment: dict[str, str], tmp_path: Path, how: str
) -> None:
    program = home / "embedded.py"
    program.write_text(EMBEDDED)
    ended = run_python(program, environment, str(tmp_path), how)
    ended.check_clean()
    assert ended.lines == (["words Running"] if how == "waits" else [])


def test_files_of_a_pilot_are_there_for_its_units(bench: Bench) -> None:
    (bench.folder / "in.txt").write_text("words\n")
    bench.pilot(file_transfer=[f"{bench.folder}/in.txt > BIGJOB_WORK_DIR"])
    unit = bench.run("cat in.txt", file_transfer=["BIGJOB_WORK_DIR/in.txt > SUBJOB_WORK_DIR"])
    assert unit.result(LIMIT_S).stdout() == "words\n"
