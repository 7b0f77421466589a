"""Copies between two hosts that see each other: the source's own OpenSSH brings the files, nothing passes through here."""

from __future__ import annotations

import os
import select
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cutting_relay import CuttingRelay
from own_sshd import LIMIT_S
from pilot_data import PilotDataService, State
from pilot_data.adaptors.ssh.builtin.ssh_config import BuiltinLogin
from pilot_data.adaptors.ssh.sftp_commands import put_line, sftp_command
from pilot_data.adaptors.ssh.storage import SshStorage
from pilot_data.entries import Entry, Item, is_partial
from pilot_data.errors import CanceledError, ChecksumError, TransferError
from pilot_data.job import Job
from pilot_data.moving import move
from pilot_data.registry import open_storage
from pilot_data.storage import Storage
from pilot_data.testing.sample_files import HARD_NAMES, content, read_all, write, write_all
from pilot_data.testing.storage_fixture import LARGE, failed, landed, names_below
from process_tree import command_line, descendants
from ssh_hosts import NO_EXEC, SshHost, running_host

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Ways:
    """Two hosts, and the way from the first to the second.

    Args:
        first: Its programs are looked for in its folder ``bin`` first.
        second: The other one.
    """

    def __init__(self, first: SshHost, second: SshHost) -> None:
        self.first = first
        self.second = second
        self.script = first.folder / "bin" / "sftp"
        self.lead()

    def lead(self, before: str = "", *, by: int = 0) -> None:
        """Let the first host's ``sftp`` be the real one with settings that reach the second one.

        Args:
            before: What its commands pass through before.
            by: Port of a relay that leads there.
        """
        config, port = self.first.folder / "onward_config", self.second.port
        self.second.configure_client(f"HostKeyAlias [127.0.0.1]:{port}", name="*")
        self.second.config_file.rename(config)
        self.second.configure_client()
        program = f'exec {shutil.which("sftp")} -F {config} "${{@/#{port}/{by or port}}}"'
        self.script.write_text(f"#!/bin/bash\n{program} {f'< <({before})' if before else ''}\n")
        self.script.chmod(0o755)

    def kill_ssh(self) -> None:
        """Kill what the first host's ``sftp`` reaches the second one by."""
        commands = {pid: command_line(pid).partition(" ")[0] for pid in descendants(os.getpid())}
        (pid,) = [pid for pid, command in commands.items() if command.endswith("/ssh")]
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ways]:
    with running_host() as first, running_host() as second:
        second.name = "second-host"
        second.configure_client()
        (first.folder / "bin").mkdir()
        first.stop()
        first.start(f"SetEnv SHLVL=1 PATH={first.folder}/bin:{SYSTEM_PATH}")
        both = first.folder / "both"
        both.write_text(first.config_file.read_text() + second.config_file.read_text())
        monkeypatch.setenv("PILOT_SSH_CONFIG", str(both))
        yield Ways(first, second)


@pytest.fixture
def store(tmp_path: Path) -> str:
    return str(tmp_path / "made" / "store")


@pytest.fixture
def source(ways: Ways, here: str) -> Iterator[Storage]:
    storage = open_storage(ways.first.at(here))
    yield storage
    storage.close()


@pytest.fixture
def target(ways: Ways, store: str) -> Iterator[Storage]:
    storage = open_storage(ways.second.at(store))
    yield storage
    storage.close()


@pytest.fixture
def no_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    def used(*_arguments: object) -> Iterator[object]:
        raise AssertionError("files pass through this machine")

    monkeypatch.setattr(SshStorage, "get_many", used)
    monkeypatch.setattr(SshStorage, "put_many", used)


@pytest.mark.usefixtures("no_relay")
def test_nothing_passes_through_this_machine(source: Storage, target: Storage, here: str, store: str) -> None:
    names = [name for name in HARD_NAMES if "\n" not in name]
    items = [*write_all(here, names), write(here, "large", content(LARGE)), write(here, "empty", b"")]
    moved: list[int] = []
    assert target.copies_from(source)
    outcomes = landed(move(source, target, items, Job(on_bytes=moved.append)))
    assert {outcome.item.target for outcome in outcomes} == {item.target for item in items}
    assert all(outcome.checksum for outcome in outcomes)
    assert sum(moved) == sum(item.entry.size for item in items)
    found = {entry.path: (entry.mode, entry.mtime_ns) for entry in target.list()}
    assert found == {item.target: (item.entry.mode, item.entry.mtime_ns) for item in items}
    assert read_all(store) == read_all(here)


@pytest.mark.usefixtures("no_relay")
def test_links_folders_and_new_names(source: Storage, target: Storage, here: str, store: str) -> None:
    write(here, "a/file", b"1")
    os.symlink("file", f"{here}/a/link")
    os.mkdir(f"{here}/empty")
    items = [Item(entry, f"below/{entry.path}") for entry in source.list()]
    landed(move(source, target, items, Job()))
    assert os.readlink(f"{store}/below/a/link") == "file"
    assert names_below(store) == ["below/a/file", "below/a/link", "below/empty"]


@pytest.mark.usefixtures("no_relay")
def test_more_files_than_are_open_at_once(source: Storage, target: Storage, here: str, store: str) -> None:
    items = write_all(here, [f"{number % 7}/{number}" for number in range(150)])
    landed(move(source, target, items, Job(checksum="none")))
    assert read_all(store) == read_all(here)


def test_names_that_sftp_cannot_be_told_are_relayed(
    source: Storage, target: Storage, here: str, store: str
) -> None:
    long = "/".join(["n" * 200] * 9)
    items = write_all(here, ["line\nbreak", f"{long}/{'*' * 200}", "plain"])
    assert target.copies_from(source)
    landed(move(source, target, items, Job()))
    assert read_all(store) == read_all(here)


def test_a_wrong_content_is_found(
    ways: Ways, source: Storage, target: Storage, here: str, store: str
) -> None:
    ways.lead("sed -u s:here/right:here/wrong:")
    items = [write(here, "right", content(100)), write(here, "other", content(100))]
    write(here, "wrong", content(100, seed=1))
    write(store, "right", b"old")
    errors = failed(move(source, target, items, Job()))
    assert isinstance(errors.pop("right"), ChecksumError)
    assert not errors
    assert read_all(store) == {"right": b"old", "other": content(100)}


@pytest.mark.parametrize("checksum", ["sha256", "none"])
def test_what_sftp_says_of_one_file_is_told(
    source: Storage, target: Storage, here: str, store: str, checksum: str
) -> None:
    items = [Item(Entry("gone", size=3), "gone"), write(here, "plain", b"1")]
    errors = failed(move(source, target, items, Job(checksum=checksum)))
    assert list(errors) == ["gone"]
    assert "No such file" in str(errors["gone"])
    assert names_below(store) == ["plain"]


@pytest.mark.usefixtures("no_relay")
def test_what_an_earlier_attempt_has_left_is_gone_on_with(
    source: Storage, target: Storage, here: str, store: str
) -> None:
    items = [write(here, "half", content(LARGE)), write(here, "whole", content(LARGE, seed=1))]
    write(store, items[0].partial, content(LARGE)[: LARGE // 2])
    write(store, items[1].partial, content(LARGE, seed=1))
    moved: list[int] = []
    landed(move(source, target, items, Job(on_bytes=moved.append)))
    assert sum(moved) == LARGE // 2
    assert read_all(store) == read_all(here)


def test_without_a_key_at_the_source_files_are_relayed(
    ways: Ways, source: Storage, target: Storage, here: str, store: str
) -> None:
    (ways.first.folder / "onward_config").write_text("Host *\nIdentityFile /dev/null\nIdentitiesOnly yes\n")
    items = write_all(here, HARD_NAMES)
    assert not target.copies_from(source)
    landed(move(source, target, items, Job()))
    assert read_all(store) == read_all(here)
    ways.lead()
    assert not target.copies_from(source)  # is asked once


def test_another_host_of_that_address_is_not_taken_for_it(
    ways: Ways, source: Storage, target: Storage
) -> None:
    ways.lead("sed -u s:pilot-part-:elsewhere-:")  # it does not see what we make
    assert not target.copies_from(source)


def test_a_host_that_runs_no_programs_leads_nowhere(ways: Ways, source: Storage, target: Storage) -> None:
    ways.first.stop()
    ways.first.start(*NO_EXEC)
    assert not target.copies_from(source)


def test_no_names_become_options_or_commands() -> None:
    login = BuiltinLogin(name="x", host="far", port=22, user="me")
    assert "me@far" in sftp_command(login)
    assert "me@[::1]" in sftp_command(replace(login, host="::1"))
    for host, user in (
        ("-oProxyCommand=x", "me"),
        ("far", "-x"),
        ("far; id", "me"),
        ("far", "a'b"),
        ("", "me"),
    ):
        assert sftp_command(replace(login, host=host, user=user)) == ""
    assert put_line(b"/a b*", b"/'c") == b"-put -a /a\\ b\\* /\\'c\n"


def test_a_cancel_ends_the_other_hosts_sftp(
    ways: Ways, source: Storage, target: Storage, here: str, store: str
) -> None:
    items = write_all(here, ["a", "b", "c"])
    assert target.copies_from(source)
    job = Job(on_bytes=lambda _count: job.cancel())
    with pytest.raises(CanceledError):
        landed(target.copy_many(source, items, job))
    target.discard_many(items)
    assert [name for name in names_below(store) if is_partial(name)] == []


def test_an_sftp_that_hangs_is_ended_by_a_cancel(
    ways: Ways, source: Storage, target: Storage, here: str
) -> None:
    assert target.copies_from(source)
    started = ways.first.folder / "started"
    os.mkfifo(started)
    ways.script.write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 1000\n")
    job = Job()
    ended: list[int] = []

    def cancel() -> None:
        ended.append(os.pidfd_open(int(started.read_text())))
        job.cancel()

    canceling = threading.Thread(target=cancel)
    canceling.start()
    with pytest.raises(CanceledError):
        landed(target.copy_many(source, write_all(here, ["a"]), job))
    canceling.join()
    assert select.select(ended, [], [], LIMIT_S)[0] == ended
    os.close(ended[0])


def test_an_sftp_that_ends_is_told_with_its_last_line(
    ways: Ways, source: Storage, target: Storage, here: str
) -> None:
    assert target.copies_from(source)
    ways.script.write_text("#!/bin/sh\necho Connection closed. >&2\nexit 255\n")
    with pytest.raises(TransferError, match=r"data-host to second-host: .*Connection closed\.") as caught:
        landed(target.copy_many(source, write_all(here, ["a"]), Job()))
    assert caught.value.transient
    ways.lead()
    landed(target.copy_many(source, write_all(here, ["a"]), Job()))


@pytest.fixture
def link(ways: Ways) -> Iterator[CuttingRelay]:
    """The way from the first host to the second, which can be cut."""
    with closing(CuttingRelay(ways.second.port)) as relay:
        ways.lead(by=relay.port)
        yield relay


def test_a_link_that_is_cut_is_told_and_leaves_nothing_half(
    link: CuttingRelay, source: Storage, target: Storage, here: str, store: str
) -> None:
    items = [write(here, name, content(LARGE, seed)) for seed, name in enumerate("abc")]
    write(store, "b", b"old")
    assert target.copies_from(source)
    link.once_passed(3 * LARGE // 2, link.turn_away)
    for _ in range(2):
        with pytest.raises(
            TransferError, match=r"data-host to second-host: sftp there has ended: .+"
        ) as caught:
            landed(target.copy_many(source, items, Job()))
        assert caught.value.transient
        assert {name for name in names_below(store) if not is_partial(name)} <= {"a", "b"}
        assert read_all(store)["b"] == b"old"
    link.let_pass()
    moved: list[int] = []
    landed(target.copy_many(source, items, Job(on_bytes=moved.append)))
    assert sum(moved) < 3 * LARGE  # what had arrived of one is not sent again
    assert read_all(store) == read_all(here)


@pytest.mark.parametrize(
    "what", ["nothing", "the link", "ssh", "the first host's sessions", "the second host's sessions"]
)
def test_a_replica_comes_straight_and_whole_whatever_is_cut_on_its_way(
    ways: Ways,
    link: CuttingRelay,
    service: PilotDataService,
    here: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    what: str,
) -> None:
    cuts: dict[str, Callable[[], None]] = {
        "nothing": lambda: None,
        "the link": link.cut,
        "ssh": ways.kill_ssh,
        "the first host's sessions": ways.first.cut_sessions,
        "the second host's sessions": ways.second.cut_sessions,
    }
    write_all(here, ["small", "in/a folder"])
    write(here, "large", content(3 * LARGE))
    one, other = (
        service.create_pilot({"service_url": str(host.at(tmp_path / host.name))})
        for host in (ways.first, ways.second)
    )
    unit = one.submit_data_unit({"file_urls": [f"{here}/"]})
    assert unit.wait(LIMIT_S)
    request.getfixturevalue("no_relay")
    is_cut = threading.Event()

    def cut() -> None:
        cuts[what]()
        is_cut.set()

    link.once_passed(LARGE, cut)
    unit.add_pilot_data(other)
    assert unit.wait(LIMIT_S)
    assert (unit.state, unit.details["replicas"][other.id]["reason"]) == (State.Running, "")
    assert is_cut.is_set()
    assert read_all(f"{tmp_path}/{ways.second.name}/{unit.id}") == read_all(here)
