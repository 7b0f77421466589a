"""The command pilot-data: what it does, tells and returns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import fake_storage
from cli_runs import Cli, Ran, one_line
from pilot_data.cli.output import human
from pilot_data.locations import Location
from pilot_data.registry import open_storage
from pilot_data.storage import Access, Storage
from pilot_data.testing.sample_files import HARD_NAMES, read_all, write, write_all
from pilot_data.testing.storage_fixture import names_below


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake_storage.install(tmp_path / "site", monkeypatch)
    monkeypatch.delenv("PILOT_GLOBUS_CLIENT_ID", raising=False)
    folder = tmp_path / "here"
    write_all(str(folder), ["run/a", "run/sub/b"])
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def store(here: Path) -> str:
    return f"fake://host{here}/store"


def test_files_go_to_a_storage_and_come_back(ran: Cli, store: str) -> None:
    write_all("run", HARD_NAMES)
    put = ran("put", "run", store)
    assert (put.code, put.out) == (0, "")
    assert one_line(put.err, f"{len(HARD_NAMES) + 2} files copied")
    assert ran("get", store, "back").code == 0
    assert ran("cp", store, f"{store}-2").code == 0
    assert ran("verify", store, "back").code == 0
    assert ran("verify", f"{store}-2", "back").code == 0
    assert read_all("back") == read_all("run")


def test_quiet_tells_errors_only(ran: Cli) -> None:
    assert ran("cp", "-q", "run", "there") == Ran(0, "", "")
    failed = ran("cp", "-q", "absent", "there")
    assert failed.code == 1
    assert one_line(failed.err, "absent")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["put", "s3://bucket/x", "y"], 2, ["not on this machine", "pilot-data cp"]),
        (["get", "run", "s3://bucket/x"], 2, ["not on this machine", "pilot-data cp"]),
        (["cp", "run", "ftp://host/x"], 2, ["no adaptor serves ftp"]),
        (["cp", "run", "run/a", "there"], 2, ["several sources need a folder"]),
        (["cp", "run"], 2, ["SOURCE", "cp --help"]),
        (["cp", "--bandwidth", "fast", "run", "x"], 2, ["'fast'", "10M"]),
        (["cp", "--bandwidth", "0", "run", "x"], 2, ["'0'", "10M"]),
        (["cp", "--checksum", "md5", "run", "x"], 2, ["md5", "sha256"]),
        (["copy", "run", "x"], 2, ["copy"]),
        (["ls", "fake://gone/x"], 3, ["cannot reach gone"]),
        (["put", "run", "fake://gone/x"], 3, ["cannot reach gone"]),
        (["login", "ftp"], 2, ["ftp", "globus"]),
        (["login", "globus"], 3, ["PILOT_GLOBUS_CLIENT_ID is not set"]),
        (["ls", "absent"], 1, ["absent"]),
        (["ls", "line\nbreak"], 1, ["line\\nbreak"]),
        (["ls", "ssh://me:geheim@host/x"], 2, ["password"]),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    ran: Cli, arguments: list[str], code: int, words: list[str]
) -> None:
    found = ran(*arguments)
    assert found.code == code
    assert found.out == ""
    assert one_line(found.err, *words)
    assert "geheim" not in found.err


def test_a_file_that_fails_is_told_and_the_exit_code_says_so(ran: Cli, store: str) -> None:
    os.symlink("nowhere", "run/broken")
    found = ran("put", "run", store)
    assert found.code == 1
    assert "run/broken: " in found.err
    assert "2 files copied (200), 1 failed" in found.err


def test_each_file_is_told_as_json(ran: Cli, store: str) -> None:
    os.symlink("nowhere", "run/broken")
    found = ran("put", "--json", "run", store)
    kinds = [event["event"] for event in found.events]
    assert kinds == ["planned", "failed", "copied", "copied", "ended"]
    planned, failed, copied, _, ended = found.events
    assert planned == {"event": "planned", "files": 3, "bytes": 200}
    assert (failed["source"], failed["kind"]) == ("run/broken", "MissingFileError")
    assert (copied["source"], copied["bytes"], len(copied["checksum"])) == ("run/a", 100, 64)
    assert ended == {
        "event": "ended",
        "moved": 2,
        "bytes": 200,
        "unchanged": 0,
        "removed": 0,
        "failed": 1,
        "left": 0,
        "error": None,
    }


def test_a_dry_run_does_nothing(ran: Cli) -> None:
    write("there", "extra\nname", b"x")
    found = ran("sync", "--delete", "-n", "run", "there")
    assert found == Ran(0, "copy a (100)\ncopy sub/b (100)\nremove extra\\nname (1)\n", "")
    events = ran("sync", "--delete", "-n", "--json", "run", "there").events
    assert [event["event"] for event in events] == ["would-copy", "would-copy", "would-remove"]
    assert ran("rm", "-rn", "run").out == "remove run/a\nremove run/sub/b\n"
    assert names_below("there") == ["extra\nname"]
    assert names_below("run") == ["a", "sub/b"]


def test_sync_copies_changes_and_removes_if_told(ran: Cli) -> None:
    assert "2 files copied" in ran("sync", "run", "there").err
    write("there", "extra", b"x")
    assert "0 files copied (0), 2 unchanged" in ran("sync", "run", "there").err
    assert "1 removed" in ran("sync", "--delete", "run", "there").err
    assert names_below("there") == ["a", "sub/b"]


def test_put_leaves_out_what_is_there_if_told(ran: Cli, store: str) -> None:
    for moved in (2, 0):
        (ended,) = [e for e in ran("put", "-u", "--json", "run", f"{store}/").events if e["event"] == "ended"]
        assert (ended["moved"], ended["unchanged"]) == (moved, 2 - moved)


def test_a_folder_is_listed_with_modes_sizes_times_and_safe_names(
    ran: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("run", "line\nbreak\\x", b"x" * 5000, mode=0o755)
    write(os.fsencode("run").decode(), os.fsdecode(b"latin-\xe9"), b"")
    os.symlink("a", "run/link")
    lines = ran("ls", "run").out.splitlines()
    shapes = {line.split(maxsplit=4)[4]: line[:16].split() for line in lines}
    assert shapes == {
        "a": ["-rw-r-----", "100"],
        "latin-\\xe9": ["-rw-r-----", "0"],
        "line\\nbreak\\\\x": ["-rwxr-xr-x", "4.9K"],
        "link -> a": ["lrw-r-----", "100"],
        "sub/": shapes["sub/"],
    }
    assert ran("ls", "run/sub/").out.endswith("b\n")
    assert ran("ls", "run/a").out.endswith(" a\n")
    assert ran("ls", "-r", "run/*").out.count("\n") == 5


def test_a_storage_that_has_no_modes_is_listed(ran: Cli, store: str) -> None:
    ran("put", "run", store)
    assert ran("ls", store).out.splitlines()[0].split()[:2] == ["-", "100"]
    event = ran("ls", "--json", "-r", store).events[1]
    assert (event["event"], event["path"], event["bytes"]) == ("file", "sub/b", 100)


def test_sizes_are_added_up(ran: Cli) -> None:
    assert ran("du", "run", "run/a").out == "  200        2 run\n  100        1 run/a\n"
    assert ran("du", "--json", "run").events == [{"event": "sum", "place": "run", "bytes": 200, "files": 2}]


def test_a_file_is_removed_and_a_folder_only_if_told(ran: Cli) -> None:
    assert ran("rm", "run/a") == Ran(0, "", "")
    refused = ran("rm", "run")
    assert refused.code == 2
    assert one_line(refused.err, "--recursive")
    assert names_below("run") == ["sub/b"]
    assert ran("rm", "-r", "--json", "run").events == [{"event": "removed", "target": "run/sub/b"}]
    assert os.listdir(".") == []
    assert ran("rm", "run").code == 1


def test_patterns_remove_files_and_folders_only_if_told(ran: Cli) -> None:
    write_all("run", ["1.dat", "2.dat"])
    assert ran("rm", "run/*.dat").code == 0
    assert ran("rm", "run/*").code == 2
    assert names_below("run") == ["a", "sub/b"]
    assert ran("rm", "-r", "run/*").code == 0
    assert names_below("run") == []


def test_a_link_to_a_folder_is_removed_itself(ran: Cli) -> None:
    os.symlink("run", "link")
    assert ran("rm", "link").code == 0
    assert names_below("run") == ["a", "sub/b"]
    assert not os.path.lexists("link")


def test_an_empty_folder_is_removed(ran: Cli) -> None:
    os.mkdir("empty")
    assert ran("rm", "empty").code == 2
    assert ran("rm", "-r", "empty").code == 0
    assert not os.path.exists("empty")


@pytest.mark.parametrize("place", ["/", "file:///", "~", "s3://bucket", "ssh://host/~", "ssh://host"])
def test_roots_and_homes_are_not_removed(
    ran: Cli, place: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setattr("pilot_data.cli.named_files.open_storage", lambda *_: fake_storage_of(here))
    refused = ran("rm", "-r", place)
    assert refused.code == 2
    assert one_line(refused.err, "root or a home")


def fake_storage_of(folder: Path) -> fake_storage.FakeStorage:
    return fake_storage.FakeStorage(Location("fake", path=str(folder)[1:]), Access())


def test_what_differs_is_told(ran: Cli, store: str) -> None:
    ran("put", "run", store)
    assert ran("verify", "run", store) == Ran(0, "", "pilot-data: 2 files compared, 0 differences\n")
    write("store", "a", b"y" * 100)
    write("store", "extra", b"")
    found = ran("verify", "-q", "run", store)
    assert found.code == 1
    assert found.out.splitlines()[0].startswith("different a: SHA-256")
    assert found.out.splitlines()[1] == "extra extra"
    assert ran("verify", "run/sub/b", f"{store}/sub/b").code == 0
    assert ran("verify", "--json", "run/sub/b", f"{store}/a").events[0]["event"] == "different"


def test_access_is_handed_to_the_side_it_is_meant_for(
    ran: Cli, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, str] = {}

    def opened(location: Location, access: Access) -> Storage:
        seen[location.path.rpartition("/")[2]] = access.profile
        return open_storage(location, access)

    monkeypatch.setattr("pilot_data.transfer_legs.open_storage", opened)
    ran("put", "--profile", "both", "run", store)
    ran("cp", "--profile", "both", "--source-profile", "mine", f"{store}/", "there")
    assert (seen["store"], seen["there"]) == ("mine", "both")


def test_help_and_version_are_told(ran: Cli) -> None:
    assert "Exit codes" in ran("--help").out
    assert "cp -r" in ran("put", "-h").out
    assert ran("--version").out.count(".") == 2
    assert ran().code == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(ran: Cli, shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_PILOT_DATA_COMPLETE", f"{shell}_complete")
    monkeypatch.setenv("COMP_WORDS", "pilot-data sy")
    monkeypatch.setenv("COMP_CWORD", "1" if shell != "fish" else "sy")
    with pytest.raises(SystemExit):
        ran()


def test_a_sum_of_bytes_is_shown_for_people() -> None:
    assert [human(size) for size in (0, 1023, 1024, 10188, 10240, 1024**2 - 1, 5 * 1024**4)] == [
        "0",
        "1023",
        "1.0K",
        "9.9K",
        "10K",
        "1024K",
        "5.0T",
    ]
