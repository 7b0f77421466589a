"""Staging on a place: what is there afterwards, how little was said for it, and what goes wrong in clear words."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from local_place import NOBODY, LocalPlace
from pilot.agent_bundle import UNUSED_DAYS, Bundle, build
from pilot.submission.base import PilotOrder
from pilot.submission.place import Output
from pilot.submission.staging import Staged, read_tail, stage, unstage
from pilot_protocol.compute_descriptions import validate_pilot_compute
from pilot_protocol.errors import SubmissionError
from pilot_protocol.specs import PilotSpec

SECRETS = {"coordination_url": "redis://:s3cret@h:6379/0", "session": "s-1", "key": "0fc0ffee", "lease_s": 30}
TOKEN = "t0ken of a user"
PILOT = "p-aaaaaaaa"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts and becomes others")


def order(pilot: str = PILOT, **description: Any) -> PilotOrder:
    given = {"service_url": "slurm://here", "number_of_processes": 2, "environment": {"TOKEN": TOKEN}}
    spec = PilotSpec.from_payload(validate_pilot_compute(given | description))
    return PilotOrder(pilot, spec, SECRETS)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return build(tmp_path_factory.mktemp("cache") / "bundles")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home of a user"
    folder.mkdir()
    return folder


@pytest.fixture
def place(home: Path) -> LocalPlace:
    return LocalPlace(home)


@pytest.fixture
def open_folder(short_folder: Path) -> Path:
    """A folder that others get to: those of pytest are shut to them, again whenever another pytest starts."""
    short_folder.chmod(0o755)
    return short_folder


def mode(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


# --- what is there afterwards ---


def test_everything_is_there_and_its_owners_alone(place: LocalPlace, home: Path, bundle: Bundle) -> None:
    staged = stage(place, order(), bundle, {"cores": 2})
    sandbox = f"{home}/agent/{PILOT}"
    assert staged == Staged(
        sandbox=sandbox,
        bundle=f"{home}/.pilot/{bundle.name}",
        settings=f"{sandbox}/agent.json",
        script=f"{sandbox}/job.sh",
        output=f"{sandbox}/agent.out",
        error=f"{sandbox}/agent.err",
    )
    assert files_below(home) == {
        f".pilot/{bundle.name}",
        f"agent/{PILOT}/agent.json",
        f"agent/{PILOT}/job.sh",
    }
    assert Path(staged.bundle).read_bytes() == bundle.path.read_bytes()
    private = (sandbox, staged.bundle, staged.script, home / ".pilot", home / "agent")
    assert {mode(path) for path in private} == {0o700}
    assert mode(staged.settings) == 0o600


def test_the_settings_are_complete(place: LocalPlace, bundle: Bundle) -> None:
    staged = stage(place, order(walltime=2, agent_options={"executors": 1}), bundle, {"cores": 2})
    content = json.loads(Path(staged.settings).read_bytes())
    assert content.items() >= SECRETS.items()
    assert (content["pilot"], content["sandbox"], content["cores"]) == (PILOT, staged.sandbox, 2)
    assert (content["walltime_s"], content["options"]) == (120, {"executors": 1})


def test_the_job_starts_the_agent(place: LocalPlace, bundle: Bundle) -> None:
    staged = stage(place, order(python=sys.executable), bundle, {"cores": 2})
    with open(staged.settings, "w") as settings:
        settings.write("{}")
    done = place.run(shlex.quote(staged.script))
    assert (done.code, done.err) == (
        3,
        "pilot-agent: agent setting coordination_url is None; a text is required\n",
    )


@pytest.mark.parametrize("shell", [["dash"], ["bash"], ["busybox", "sh"], ["ksh"]])
def test_any_shell_does(home: Path, bundle: Bundle, shell: list[str], tmp_path: Path) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"{shell[0]} is not installed")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "sh").symlink_to(shutil.which(shell[0]) or "")
    place = LocalPlace(home, shell=tuple(shell))
    staged = stage(place, order(), bundle, {})
    assert files_below(home) >= {f".pilot/{bundle.name}"}
    unstage(place, staged)
    assert files_below(home) == {f".pilot/{bundle.name}"}


# --- how little is said for it, and what is not ---


def test_two_commands_are_enough_and_the_bundle_goes_once(place: LocalPlace, bundle: Bundle) -> None:
    stage(place, order(), bundle, {})
    assert len(place.commands) == 2
    assert sum(map(len, place.given)) > bundle.path.stat().st_size
    stage(place, order("p-bbbbbbbb"), bundle, {})
    assert len(place.commands) == 4
    assert sum(map(len, place.given[2:])) < 20_000


def test_no_secret_is_ever_in_a_command_line(place: LocalPlace, bundle: Bundle) -> None:
    staged = stage(place, order(setup=["export PASSWORD=hunter2"]), bundle, {})
    read_tail(place, staged.error, 100)
    unstage(place, staged)
    said = "\n".join(place.commands)
    assert not [secret for secret in ("s3cret", "0fc0ffee", TOKEN, "hunter2") if secret in said]
    assert not [command for command in place.commands if "\n" in command]


def test_what_a_login_shell_says_first_does_no_harm(home: Path, bundle: Bundle) -> None:
    noisy = LocalPlace(home, greeting=b"Welcome!\nsandbox /nowhere\npilot-staging\n\xff\n")
    assert stage(noisy, order(), bundle, {}).sandbox == f"{home}/agent/{PILOT}"


# --- the working directory ---


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/deep/down", "deep/down"),
        ("$BASE/x y", "scratch $1/x y"),
        ("${BASE}/x'$(id)", "scratch $1/x'$(id)"),
        ("relative", "relative"),
        ("~/with/slash/", "with/slash"),
        ("$work/$pilot", "one/two"),
    ],
)
def test_the_working_directory_is_expanded_on_the_target(
    home: Path, bundle: Bundle, given: str, expected: str
) -> None:
    place = LocalPlace(home, BASE=f"{home}/scratch $1", work=f"{home}/one", pilot="two")
    assert stage(place, order(working_directory=given), bundle, {}).sandbox == f"{home}/{expected}/{PILOT}"


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("$SCRATCH/x", r"\$SCRATCH/x names SCRATCH, which is not set on test place; write the path out"),
        ("~nosuchuser/x", r"~nosuchuser/x: there is no ~nosuchuser on test place"),
        (
            "/dev/null/x",
            r"the folder /dev/null/x cannot be used on test place: not a directory; give the path",
        ),
        ("/dev/null", r"the folder /dev/null cannot be used on test place: not a directory"),
        ("~/a\nb", r"it has a line break in its name; give another working_directory"),
        (f"~/{'x' * 300}", r"File name too long"),
    ],
)
def test_a_working_directory_that_cannot_be_used(
    place: LocalPlace, home: Path, bundle: Bundle, folder: str, said: str
) -> None:
    with pytest.raises(SubmissionError, match=said):
        stage(place, order(working_directory=folder), bundle, {})
    assert files_below(home) == set()


def test_a_sandbox_that_is_there_already_is_not_taken_over(
    place: LocalPlace, home: Path, bundle: Bundle
) -> None:
    (home / "agent" / PILOT).mkdir(parents=True)
    (home / "agent" / PILOT / "result").write_text("of value")
    with pytest.raises(
        SubmissionError, match=f"cannot be used on test place: it has a folder {PILOT} already"
    ):
        stage(place, order(), bundle, {})
    assert files_below(home) == {f"agent/{PILOT}/result"}


@as_root
def test_folders_that_are_not_ours(home: Path, bundle: Bundle, open_folder: Path) -> None:
    stranger = LocalPlace(home, user=NOBODY)
    closed = open_folder / "closed"
    closed.mkdir(mode=0o755)
    with pytest.raises(
        SubmissionError, match="permission denied; give a working_directory that you may write"
    ):
        stage(stranger, order(working_directory=str(closed)), bundle, {})


@as_root
def test_a_home_that_cannot_be_written_to(home: Path, bundle: Bundle, open_folder: Path) -> None:
    scratch = open_folder / "scratch"
    scratch.mkdir()
    os.chown(scratch, NOBODY, NOBODY)
    stranger = LocalPlace(home, user=NOBODY)
    staged = stage(stranger, order(working_directory=str(scratch)), bundle, {})
    assert staged.bundle == f"{scratch}/.pilot/{bundle.name}"
    assert mode(scratch / ".pilot") == 0o700


# --- full disks ---


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    mounted: list[Path] = []

    def mount(size_kib: int) -> Path:
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={size_kib}k", "tmpfs", str(folder)]
        if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
            pytest.skip("no file system can be mounted here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@as_root
def test_a_disk_on_which_no_sandbox_has_room(
    place: LocalPlace, bundle: Bundle, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(256)
    with pytest.raises(
        SubmissionError, match=rf"{disk} cannot be used on test place: disk full: 256 KiB are free"
    ):
        stage(place, order(working_directory=str(disk)), bundle, {})
    assert list(disk.iterdir()) == []


@as_root
def test_a_home_without_room_for_the_bundle(
    home: Path, bundle: Bundle, small_disk: Callable[[int], Path]
) -> None:
    full = small_disk(64)
    staged = stage(LocalPlace(full), order(working_directory=str(home)), bundle, {})
    assert staged.bundle == f"{home}/.pilot/{bundle.name}"


@as_root
def test_a_disk_on_which_no_bundle_has_room(
    bundle: Bundle, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    disk = small_disk(1200)
    df = tmp_path / "bin" / "df"
    df.parent.mkdir()
    df.write_text(
        "#!/bin/sh\necho header\necho tmpfs 0 0 99999999 0% /\n"
    )  # it does not know of quotas either
    df.chmod(0o700)
    (disk / "ballast").write_bytes(bytes(1000 * 1024))
    place = LocalPlace(disk, PATH=f"{df.parent}:/usr/bin:/bin")
    said = rf"takes the agent's file: .*{disk}/.pilot.*No space left on device; .*{disk}/agent/.pilot.*; make room"
    with pytest.raises(SubmissionError, match=said):
        stage(place, order(), bundle, {})
    assert files_below(disk) == {"ballast"}


class FillingPlace(LocalPlace):
    """A place whose disk is filled up between two commands."""

    def run(self, command: str, **options: Any) -> Output:
        if self.commands:
            with suppress(OSError):
                Path(self._variables["HOME"], "ballast").write_bytes(bytes(10_000_000))
        return super().run(command, **options)


@as_root
def test_a_disk_that_fills_up_before_the_upload(bundle: Bundle, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(2000)
    with pytest.raises(
        SubmissionError,
        match=rf"{disk}/agent/{PILOT} cannot be used on test place: disk full; free some space",
    ):
        stage(FillingPlace(disk), order(), bundle, {})
    assert files_below(disk) == {"ballast"}


# --- uploads that go wrong, and several at once ---


@pytest.mark.parametrize("size", [0, 100, 1500, 50_000])
def test_an_upload_that_is_cut_off_leaves_nothing(
    place: LocalPlace, home: Path, bundle: Bundle, size: int
) -> None:
    place.cut_after = size
    with pytest.raises(SubmissionError, match="cut off; submit the pilot again"):
        stage(place, order(), bundle, {})
    assert files_below(home) == set()
    place.cut_after = None
    stage(place, order(), bundle, {})


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\necho a stranger's\n", b"x" * 300_000])
def test_a_wrong_bundle_under_the_right_name_is_replaced(
    place: LocalPlace, home: Path, bundle: Bundle, content: bytes
) -> None:
    (home / ".pilot").mkdir()
    (home / ".pilot" / bundle.name).write_bytes(content)
    staged = stage(place, order(), bundle, {})
    assert Path(staged.bundle).read_bytes() == bundle.path.read_bytes()


def test_a_bundle_that_changed_here_is_not_taken_for_itself(
    place: LocalPlace, home: Path, bundle: Bundle, tmp_path: Path
) -> None:
    other = dataclasses.replace(bundle, path=tmp_path / "spoilt")
    other.path.write_bytes(b"something else")
    with pytest.raises(SubmissionError, match="is no longer what it was"):
        stage(place, order(), other, {})
    assert files_below(home) == set()


@pytest.mark.parametrize("tool", ["shasum", "openssl", "cksum"])
def test_without_sha256sum_another_tool_will_do(
    home: Path, bundle: Bundle, tool: str, tmp_path: Path
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    names = ["sh", "mkdir", "chmod", "df", "dd", "wc", "cat", "mv", "rm", "rmdir", "touch", "find"]
    for name in [*names, tool]:
        program = shutil.which(name)
        if program is None:
            pytest.skip(f"{name} is not installed")
        (tools / name).symlink_to(program)
    place = LocalPlace(home, PATH=str(tools))
    stage(place, order(), bundle, {})
    stage(place, order("p-bbbbbbbb"), bundle, {})
    assert len(place.given[3]) < 20_000
    (home / ".pilot" / bundle.name).write_bytes(b"x" * bundle.path.stat().st_size)
    staged = stage(place, order("p-cccccccc"), bundle, {})
    assert Path(staged.bundle).read_bytes() == bundle.path.read_bytes()


def test_several_at_once_do_no_harm(home: Path, bundle: Bundle) -> None:
    done: list[Staged] = []

    def one(number: int) -> None:
        done.append(stage(LocalPlace(home), order(f"p-{number:08}"), bundle, {}))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({staged.sandbox for staged in done}) == 6
    assert os.listdir(home / ".pilot") == [bundle.name]
    assert (home / ".pilot" / bundle.name).read_bytes() == bundle.path.read_bytes()


def test_old_bundles_go_and_used_ones_stay(place: LocalPlace, home: Path, bundle: Bundle) -> None:
    first = stage(place, order(), bundle, {})
    made = f"{bundle.name}.cpython-311"  # by agents
    names = ["agent-0.0.1-0.pyz", "agent-0.0.1-0.pyz.cpython-311", ".agent-p-x", "mine", made]
    long_ago = time.time() - (UNUSED_DAYS + 2) * 86_400
    for path in (Path(first.bundle), *(home / ".pilot" / name for name in names)):
        path.touch()
        os.utime(path, (long_ago, long_ago))
    stage(place, order("p-bbbbbbbb"), bundle, {})
    assert set(os.listdir(home / ".pilot")) == {bundle.name, made, "mine"}


# --- afterwards ---


def test_unstaging_removes_all_that_is_of_no_value(place: LocalPlace, home: Path, bundle: Bundle) -> None:
    staged = stage(place, order(), bundle, {})
    Path(staged.output).touch()
    Path(staged.error).touch()
    unstage(place, staged)
    assert os.listdir(home / "agent") == []
    unstage(place, staged)


@pytest.mark.parametrize("name", ["result", ".journal", "agent.err"])
def test_unstaging_keeps_what_is_of_value_and_no_secret(place: LocalPlace, bundle: Bundle, name: str) -> None:
    staged = stage(place, order(), bundle, {})
    Path(staged.sandbox, name).write_text("of value")
    unstage(place, staged)
    assert set(os.listdir(staged.sandbox)) == {name, "job.sh"}


def test_secrets_that_stay_are_told_of(place: LocalPlace, bundle: Bundle) -> None:
    staged = stage(place, order(), bundle, {})
    os.unlink(staged.settings)
    os.mkdir(staged.settings)
    with pytest.raises(
        SubmissionError, match=r"agent\.json, which hold secrets, cannot be removed on test place"
    ):
        unstage(place, staged)


def test_the_end_of_a_log(place: LocalPlace, home: Path) -> None:
    log = home / "agent.err"
    log.write_bytes(b"x" * 100_000 + b"last \xff words\n")
    assert read_tail(place, str(log), 13) == "last \ufffd words\n"
    assert read_tail(place, str(home / "gone"), 13) == ""
