"""The command pilot-data on data units and Pilot-Data: what it does, tells and returns."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli_runs import Cli, Ran, one_line, program, started
from hindered_storage import Hindrance
from pilot_data import DataUnit, PilotData, State
from pilot_data.cli.telling import Telling
from pilot_data.testing.sample_files import content, read_all, write, write_all
from redis_process import RedisProcess
from shared_data import PASSWORD, forget_sessions, running_server, use_home


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the user's files, in the home of one who has never run anything."""
    use_home(tmp_path, monkeypatch)
    folder = tmp_path / "here"
    write_all(str(folder), ["run/a", "run/sub/b"])
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def server(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisProcess]:
    """A server of the test's own, which the environment names."""
    with tempfile.TemporaryDirectory(prefix="pd-") as folder, running_server(Path(folder)) as server:
        monkeypatch.setenv("PILOT_COORDINATION_URL", server.url)
        yield server


@pytest.fixture
def stores(server: RedisProcess, ran: Cli, tmp_path: Path) -> list[str]:
    """The URLs of two Pilot-Data of one service."""
    made = ran("create", f"file://{tmp_path}/one", f"file://{tmp_path}/two")
    assert (made.code, made.err) == (0, "")
    return made.out.split()


@pytest.fixture
def unit(stores: list[str], ran: Cli) -> DataUnit:
    """A data unit at the first of them."""
    put = ran("put", "run", "--name", "first run", stores[0])
    assert put.code == 0
    return DataUnit(put.out.strip())


def test_files_are_put_listed_brought_to_a_further_place_and_got(
    ran: Cli, unit: DataUnit, stores: list[str], here: Path
) -> None:
    one, two = map(PilotData, stores)
    listed = ran("ls", stores[0])
    assert listed.out.split() == ["Running", "2", "200", unit.id, "first", "run"]
    assert [line.split()[-1] for line in ran("ls", "-r", unit.url).out.splitlines()] == ["run/a", "run/sub/b"]
    assert ran("ls", unit.id).out.split()[-1] == "run/"
    assert ran("du", unit.id, stores[0], stores[1]).out.split() == [
        *("200", "2", unit.id),
        *("200", "2", stores[0]),
        *("0", "0", stores[1]),
    ]
    brought = ran("cp", unit.url, two.id)
    assert (brought.code, brought.out) == (0, "")
    assert one_line(brought.err, unit.id, "Running", one.id, two.id)
    assert {store.id for store in unit.list_pilot_data()} == {one.id, two.id}
    for number, command in enumerate((["get"], ["export", "--from", two.id], ["cp"])):
        assert one_line(ran(*command, unit.id, f"back{number}").err, "2 files copied (200)")
        assert read_all(f"back{number}/run") == read_all("run")
    again = ran("get", unit.id, "back0")
    assert (again.code, again.err) == (0, "pilot-data: 0 files copied (0), 2 unchanged\n")
    write(f"{here}/back0", "run/a", b"changed")
    assert one_line(ran("get", unit.id, "back0").err, "1 file copied (100), 1 unchanged")


def test_several_replicas_are_made_at_once_and_all_is_told_as_json(ran: Cli, stores: list[str]) -> None:
    put = ran("put", "--json", "-q", "--replicas", "2", "run/", stores[0])
    assert (put.code, put.err) == (0, "")
    submitted, planned, told = put.events
    assert submitted == {"event": "submitted", "url": told["url"], "id": told["id"]}
    assert planned == {"event": "planned", "files": 4, "bytes": 400}
    assert told == {
        "event": "data-unit",
        "url": DataUnit(told["url"]).url,
        "id": DataUnit(told["url"]).id,
        "name": "",
        "state": "Running",
        "reason": "",
        "files": 2,
        "bytes": 200,
        "replicas": {PilotData(store).id: "Done" for store in stores},
    }
    assert ran("ls", "--json", stores[1]).events == [told]
    assert [event["path"] for event in ran("ls", "-r", "--json", told["id"]).events] == ["a", "sub/b"]
    assert ran("du", "--json", told["id"]).events == [
        {"event": "sum", "place": told["url"], "bytes": 200, "files": 2}
    ]
    assert PASSWORD not in put.out


def test_what_would_be_done_is_told_and_not_done(ran: Cli, unit: DataUnit, stores: list[str]) -> None:
    put = ran("put", "-n", "run/", stores[0])
    assert (put.code, put.out) == (0, "copy a (100)\ncopy sub/b (100)\n")
    assert ran("cp", "-n", unit.id, stores[1]).out == f"copy {PilotData(stores[1]).id} (200)\n"
    assert ran("get", "-n", unit.id, "back").out == "copy run/a (100)\ncopy run/sub/b (100)\n"
    assert ran("rm", "-n", unit.id).out == f"remove {unit.id}\n"
    assert ran("rm", "-n", "-r", "--json", stores[0]).events == [
        {"event": "would-remove", "target": stores[0]}
    ]
    assert not os.path.exists("back")
    assert [one.id for one in PilotData(stores[0]).list_data_units()] == [unit.id]
    assert PilotData(stores[1]).list_data_units() == []


def test_replicas_data_units_and_pilot_data_are_removed(
    ran: Cli, unit: DataUnit, stores: list[str], tmp_path: Path
) -> None:
    one, two = map(PilotData, stores)
    assert ran("cp", unit.id, stores[1]).code == 0
    removed = ran("rm", "--json", "--from", one.id, unit.id)
    assert removed.events == [{"event": "removed", "target": unit.url, "pilot_data": one.id}]
    assert [store.id for store in unit.list_pilot_data()] == [two.id]
    assert read_all(f"{tmp_path}/one") == {}
    absent = ran("rm", "--from", one.id, unit.id)
    assert absent.code == 1
    assert one_line(absent.err, unit.id, f"is not at {one.id}")
    assert ran("rm", unit.id) == Ran(0, "", "")
    assert unit.state is State.Canceled
    other = DataUnit(ran("put", "run", stores[1]).out.strip())
    refused = ran("rm", other.id, two.id)
    assert refused.code == 2
    assert one_line(refused.err, two.id, "--recursive")
    assert other.state is State.Running
    assert ran("rm", "-r", two.id).code == 0
    assert (two.state, other.state) == (State.Canceled, State.Canceled)
    assert read_all(f"{tmp_path}/two") == {}


def test_each_replica_is_compared_with_the_catalogue(ran: Cli, unit: DataUnit, stores: list[str]) -> None:
    os.symlink("nowhere", "run/broken")
    unit = DataUnit(ran("put", "run", stores[0]).out.strip())
    assert ran("cp", unit.id, stores[1]).code == 0
    same = ran("verify", unit.id)
    assert (same.code, same.out) == (0, "")
    assert one_line(same.err, "3 files compared", "0 differences")
    one, two = map(PilotData, stores)
    place = one.url_for_du(unit).removeprefix("file://")
    time_ns = os.stat(f"{place}/run/a").st_mtime_ns
    write(place, "run/a", b"x" * 100)
    os.utime(f"{place}/run/a", ns=(time_ns, time_ns))
    shutil.rmtree(f"{place}/run/sub")
    write(place, "run/more", b"")
    found = ran("verify", "--json", unit.id)
    assert found.code == 1
    told = [(event["event"], event["path"], event["pilot_data"]) for event in found.events]
    assert told == [
        ("different", "run/a", one.id),
        ("extra", "run/more", one.id),
        ("missing", "run/sub/b", one.id),
    ]
    assert "SHA-256" in found.events[0]["detail"]
    assert f"missing run/sub/b at {one.id}\n" in ran("verify", unit.id).out
    assert ran("verify", "-q", "--from", two.id, unit.id) == Ran(0, "", "")


def test_files_without_checksums_are_compared_by_size(ran: Cli, stores: list[str]) -> None:
    unit = ran("put", "--checksum", "none", "run", stores[0]).out.strip()
    found = ran("verify", unit)
    assert found.code == 0
    assert "no checksum of 2 files" in found.err


def test_a_data_unit_becomes_what_a_folder_is(ran: Cli, stores: list[str]) -> None:
    unit = DataUnit(ran("put", "run/", stores[0]).out.strip())
    assert ran("cp", unit.id, stores[1]).code == 0
    write("run", "a", b"another content")
    write("run", "new", b"new")
    shutil.rmtree("run/sub")
    assert ran("sync", "-n", "--delete", "run", unit.id).out.splitlines() == [
        "copy a (15)",
        "copy new (3)",
        "remove sub/b (100)",
    ]
    synced = ran("sync", "run", unit.id)
    assert synced.code == 0
    assert one_line(synced.err, "2 files copied (18)")
    assert sorted(unit.list()) == ["a", "new", "sub/b"]
    assert ran("verify", unit.id).code == 0
    mirrored = ran("sync", "--json", "-q", "--delete", "run/", unit.id)
    assert [event["event"] for event in mirrored.events] == ["planned", "removed", "ended"]
    assert sorted(unit.list()) == ["a", "new"]
    assert ran("get", unit.id, "back").code == 0
    assert read_all("back") == read_all("run")
    assert one_line(ran("sync", "run", unit.id).err, "0 files copied (0), 2 unchanged")


def test_the_bar_of_a_sync_counts_what_comes_to_all_places(
    ran: Cli, stores: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = DataUnit(ran("put", "run/", stores[0]).out.strip())
    assert ran("cp", unit.id, stores[1]).code == 0
    write("run", "new", content(3 << 20))
    write("run", "newer", b"odd")
    told: list[int] = []
    monkeypatch.setattr(Telling, "bytes", lambda _telling, count: told.append(count))
    assert ran("sync", "run", unit.id).code == 0
    assert sum(told) == (3 << 20) + 3
    assert len(told) > 2  # on the way, not at the end


def test_a_file_in_the_way_of_a_folder_is_removed_on_demand_only(ran: Cli, stores: list[str]) -> None:
    unit = DataUnit(ran("put", "run/", stores[0]).out.strip())
    os.unlink("run/a")
    write("run", "a/b", b"below")
    refused = ran("sync", "run", unit.id)
    assert refused.code == 2
    assert one_line(refused.err, "'a'", "--delete")
    assert ran("sync", "--delete", "run", unit.id).code == 0
    assert sorted(unit.list()) == ["a/b", "sub/b"]


def test_an_empty_folder_that_gets_files_and_one_that_loses_them(ran: Cli, stores: list[str]) -> None:
    os.mkdir("run/empty")
    unit = DataUnit(ran("put", "run/", stores[0]).out.strip())
    write("run", "empty/a", b"first")
    os.unlink("run/sub/b")
    assert ran("sync", "run", unit.id).code == 0
    assert sorted(unit.list()) == ["a", "empty/a", "sub/b"]
    assert ran("verify", unit.id).code == 0
    assert ran("sync", "--delete", "run", unit.id).code == 0
    assert sorted(unit.list()) == ["a", "empty/a", "sub"]
    assert ran("verify", unit.id).code == 0


def test_states_are_told_until_nothing_moves(ran: Cli, unit: DataUnit, stores: list[str]) -> None:
    one = PilotData(stores[0])
    assert ran("watch", unit.id).out == f"{unit.id} Running\n{unit.id} at {one.id} Done\n"
    watched = ran("watch", "--json", stores[0])
    assert watched.code == 0
    assert watched.events[0] == {
        "event": "state",
        "id": one.id,
        "pilot_data": "",
        "state": "Running",
        "reason": "",
    }
    assert [(event["id"], event["pilot_data"]) for event in watched.events[1:]] == [
        (unit.id, ""),
        (unit.id, one.id),
    ]
    unit.cancel()
    assert ran("watch", "-q", unit.id).code == 1


def test_a_data_unit_that_has_failed_is_told(
    ran: Cli, unit: DataUnit, stores: list[str], hinder: Callable[..., Hindrance]
) -> None:
    hinder("/two", OSError("the disk is broken")).go.set()
    put = ran("put", "run", stores[1])
    assert put.code == 1
    assert "is Failed" in put.err
    assert "the disk is broken" in put.err
    failed = put.out.strip()
    assert ran("watch", failed).code == 1
    for command in (["get", failed, "back"], ["verify", failed], ["sync", "run", failed]):
        refused = ran(*command)
        assert refused.code == 1
        assert one_line(refused.err, "is Failed")
    brought = ran("cp", unit.id, stores[1])
    assert brought.code == 1
    assert f"is not at {PilotData(stores[1]).id}: " in brought.err
    assert unit.state is State.Running


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ls", "du-aaaaaaaaaaaa"], 1, ["none of the 1 sessions", "data unit du-aaaaaaaaaaaa"]),
        (["ls", "pd-aaaaaaaa"], 1, ["Pilot-Data pd-aaaaaaaa"]),
        (["ls", "--session", "s-x", "du-aaaaaaaaaaaa"], 2, ["'s-x' is no session id"]),
        (["ls", "--session", "s-aaaaaaaaaaaaaaaa", "du-aaaaaaaaaaaa"], 3, ["not known here"]),
        (["ls", "local:///du-aaaaaaaaaaaa"], 1, ["known in its own process only"]),
        (["ls", "local:///pds-aaaaaaaa"], 2, ["names a 'pds'"]),
        (["ls", "redis://host/0?session=s-aaaaaaaaaaaaaaaa&pcs=pcs-aaaaaaaa"], 2, ["names a 'pcs'"]),
        (["ls", "redis://host/0?session=s-aaaaaaaaaaaaaaaa&du=du-1"], 2, ["is no id of a du"]),
        (["ls", "redis://host/0"], 2, ["cannot be read"]),
        (["ls", "--session", "s-x", "run"], 2, ["--session does not go with paths"]),
        (["put", "--replicas", "2", "run", "there"], 2, ["--replicas does not go with paths"]),
        (["put", "--durable", "run", "PD"], 2, ["--durable does not go with"]),
        (["put", "DU", "PD"], 2, ["use pilot-data cp"]),
        (["put", "du-aaaaaaaaaaaa", "PD"], 2, ["is made of files", "pilot-data cp DU PD"]),
        (["cp", "DU", "run", "PD"], 2, ["takes one data unit"]),
        (["put", "run", "DU"], 2, ["is a data unit; a Pilot-Data is needed"]),
        (["put", "absent", "PD"], 1, ["absent"]),
        (["put", "--replicas", "3", "run", "PD"], 2, ["number_of_replicas is 3"]),
        (["cp", "PD", "there"], 2, ["is a Pilot-Data; a data unit is needed"]),
        (["cp", "DU", "run", "there"], 2, ["takes one data unit"]),
        (["get", "DU", "s3://bucket/x"], 2, ["not on this machine"]),
        (["export", "run", "there"], 2, ["'run' is no data unit"]),
        (["get", "--from", "pd-aaaaaaaa", "DU", "there"], 1, ["Pilot-Data pd-aaaaaaaa"]),
        (["get", "--from", "OTHER", "DU", "there"], 1, ["not whole at pd-"]),
        (["sync", "run", "PD"], 2, ["is a Pilot-Data; a data unit is needed"]),
        (["sync", "DU", "there"], 2, ["a folder is needed", "pilot-data get"]),
        (["watch", "run", "DU"], 2, ["a folder is needed", "pilot-data sync"]),
        (["verify", "run", "DU"], 2, ["a folder is needed"]),
        (["get", "run", "DU"], 2, ["a folder is needed", "pilot-data cp"]),
        (["export", "DU", "PD"], 2, ["a folder is needed", "pilot-data cp"]),
        (["sync", "absent", "DU"], 1, ["absent"]),
        (["verify", "DU", "run"], 2, ["leave out 'run'"]),
        (["verify", "run"], 2, ["TARGET"]),
        (["watch", "run"], 2, ["TARGET"]),
        (["rm", "DU", "run"], 2, ["'run' is no name of the catalogue"]),
        (["rm", "--from", "PD", "PD"], 2, ["--from is for data units"]),
        (["create", "ftp://host/x"], 2, ["ftp"]),
        (["create", "--coordination-url", "redis://:geheim@host", "file:///x"], 2, ["has a password"]),
        (["create", "--beside", "PD", "--coordination-url", "redis://host", "file:///x"], 2, ["exclude"]),
        (["create", "--size", "0", "file:///x"], 2, ["--size"]),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    ran: Cli, unit: DataUnit, stores: list[str], arguments: list[str], code: int, words: list[str]
) -> None:
    names = {"DU": unit.url, "PD": stores[0], "OTHER": stores[1]}
    found = ran(*(names.get(argument, argument) for argument in arguments))
    assert found.code == code, found
    assert found.out == ""
    assert one_line(found.err, *words)
    assert "geheim" not in found.err


def test_a_catalogue_needs_a_place(ran: Cli) -> None:
    found = ran("create", "file:///x")
    assert found.code == 2
    assert one_line(found.err, "--coordination-url", "PILOT_COORDINATION_URL")


def test_a_pilot_data_is_made_beside_another_and_in_a_session(
    ran: Cli, stores: list[str], tmp_path: Path
) -> None:
    first = PilotData(stores[0])
    size = ("--size", "5", "--label", "here", "--machine-label", "this")
    made = ran("create", "--json", "--beside", first.id, *size, f"file://{tmp_path}/three").events
    details = PilotData(made[0]["url"]).details
    assert details["size"] == 5_000_000
    assert details["description"]["affinity_datacenter_label"] == "here"
    assert ran("put", "--replicas", "3", "run", first.id).code == 0
    session = first.url.partition("session=")[2].partition("&")[0]
    other = ran("create", "--session", session, f"file://{tmp_path}/four").out.strip()
    assert f"session={session}&" in other
    assert ran("put", "--replicas", "2", "run", other).code == 2  # it is of another service


def test_a_server_that_is_gone_is_told(ran: Cli, server: RedisProcess, unit: DataUnit) -> None:
    forget_sessions()
    server.stop()
    for name in (unit.url, unit.id):
        found = ran("ls", name)
        assert found.code == 3
        assert one_line(found.err, f"redis://127.0.0.1:{server.port}", "cannot be reached")
        assert PASSWORD not in found.err


def test_a_bare_id_is_looked_for_in_all_sessions_though_a_server_is_gone(
    ran: Cli, unit: DataUnit, stores: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(prefix="pd-") as folder:
        other = RedisProcess(Path(folder), password=PASSWORD)
        other.start()
        monkeypatch.setenv("PILOT_COORDINATION_URL", other.url)
        newest = PilotData(ran("create", f"file://{tmp_path}/three").out.strip())
        other.stop()
    assert ran("ls", unit.id).code == 0
    session = unit.url.partition("session=")[2].partition("&")[0]
    assert ran("ls", "--session", session, unit.id).code == 0
    elsewhere = ran("ls", newest.id)
    assert elsewhere.code == 3
    assert one_line(elsewhere.err, newest.id, "1 of the sessions known here", "cannot be reached")
    apart = ran("cp", unit.id, stores[0])
    assert apart.code == 0  # it is there already


def test_another_process_s_data_unit_is_found_by_its_id(ran: Cli, stores: list[str]) -> None:
    put = program("put", "run/", PilotData(stores[0]).id)
    assert put.code == 0
    unit = DataUnit(put.out.strip())
    assert ran("get", unit.id, "back").code == 0
    assert read_all("back") == read_all("run")
    assert program("verify", unit.id).code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_wait_tells_the_state(
    stores: list[str], hinder: Callable[..., Hindrance], here: Path, number: int, code: int
) -> None:
    hinder("/one")
    unit = PilotData(stores[0]).submit_data_unit({"file_urls": [f"{here}/run"]})
    watching = started("watch", unit.id)
    assert watching.stdout is not None
    assert watching.stdout.readline() == f"{unit.id} Pending\n"
    watching.send_signal(number)
    _out, err = watching.communicate()
    assert watching.returncode == code
    assert one_line(err, "interrupted", unit.id, "is Pending")


def test_an_interrupted_put_stops_what_it_moves(
    ran: Cli, stores: list[str], hinder: Callable[..., Hindrance], tmp_path: Path
) -> None:
    interrupter = threading.Thread(target=_interrupt_when_reached, args=(hinder("/one"),))
    interrupter.start()
    put = ran("put", "run", stores[0])
    interrupter.join()
    assert put.code == 130
    assert one_line(put.err, "interrupted", "is Canceled")
    assert read_all(f"{tmp_path}/one") == {}


def _interrupt_when_reached(hindrance: Hindrance) -> None:
    """Send this process Ctrl-C when a transfer stands still."""
    assert hindrance.reached.wait(30)
    signal.raise_signal(signal.SIGINT)


def test_an_interrupted_sync_takes_back_what_it_has_added(
    ran: Cli, stores: list[str], hinder: Callable[..., Hindrance]
) -> None:
    unit = DataUnit(ran("put", "run/", stores[0]).out.strip())
    write_all("run", ["new", "newer"])
    hinder("/one", KeyboardInterrupt(), after=1)
    synced = ran("sync", "run", unit.id)
    assert synced.code == 130
    assert one_line(synced.err, "interrupted", unit.id, "is Running")
    assert sorted(unit.list()) == ["a", "sub/b"]
    assert ran("verify", unit.id).code == 0
