"""Commands over SSH, on a real server that is cut, killed, restarted and wrongly configured."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from own_sshd import kill
from pilot.submission.ssh import master as ssh_master
from pilot.submission.ssh.place import SshPlace
from pilot.submission.ssh.target import SshTarget
from pilot_protocol.errors import SubmissionError
from process_tree import children, command_line, descendants
from sshd import HOST, REFUSE_EVERYONE, Sshd, login_shell, plain_account, running_sshd
from until import until

LIMIT_S = 20.0

NASTY = "printf '[%s]' 'a  b' \"it's\" '!!' '\\' '$HOME' '`id`' 'ü' '#' '*' 'line\nline' '%s'"
NASTY_SAYS = "[a  b][it's][!!][\\][$HOME][`id`][ü][#][*][line\nline][%s]"


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Sshd]:
    with running_sshd() as running:
        yield running


@pytest.fixture
def server() -> Iterator[Sshd]:
    with running_sshd() as running:
        yield running


@contextmanager
def place_at(server: Sshd, target: SshTarget | None = None) -> Iterator[SshPlace]:
    place = SshPlace(target or server.target, server.options)
    try:
        yield place
    finally:
        place.close()


@pytest.fixture
def place(shared_server: Sshd) -> Iterator[SshPlace]:
    with place_at(shared_server) as there:
        yield there


def master_pid(place: SshPlace) -> int:
    said = place.connection.master().control("check").err
    return int(said.partition("pid=")[2].partition(")")[0])


def test_a_command_leaves_output_errors_and_exit_code(place: SshPlace) -> None:
    done = place.run("echo out; echo err >&2; exit 3")
    assert (done.code, done.text, done.err) == (3, "out\n", "err\n")


@pytest.mark.parametrize("code", [0, 1, 127, 255])
def test_every_exit_code_is_told_also_that_of_ssh_itself(place: SshPlace, code: int) -> None:
    assert place.run(f"exit {code}").code == code


def test_a_signal_shows_as_shells_count(place: SshPlace) -> None:
    assert place.run("kill -TERM $$").code == 128 + signal.SIGTERM


def test_large_and_binary_input_and_output_arrive_as_they_are(place: SshPlace) -> None:
    given = os.urandom(5_000_000)
    done = place.run("cat", given=given)
    assert done.out == given
    assert (done.code, done.err) == (0, "")


def test_input_that_nobody_reads_is_no_trouble(place: SshPlace) -> None:
    assert place.run("echo done", given=b"x" * 5_000_000).text == "done\n"


def test_a_command_without_input_reads_its_end(place: SshPlace) -> None:
    assert place.run("cat; echo end").text == "end\n"


def test_output_without_line_end_and_empty_output(place: SshPlace) -> None:
    assert place.run("printf x; printf y >&2").err == "y"
    assert place.run("true") == replace(place.run("true"), code=0, out=b"", err="")


def test_a_long_command_is_no_trouble(place: SshPlace) -> None:
    assert place.run(f"printf %s '{'x' * 100_000}' | wc -c").text.strip() == "100000"


@pytest.mark.parametrize("shell", ["sh", "bash", "csh", "tcsh", "ksh", "zsh", "fish"])
def test_the_login_shell_does_not_matter(shell: str) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"there is no {shell}")
    with running_sshd(*login_shell(path)) as server, place_at(server) as there:
        assert there.run(NASTY).text == NASTY_SAYS
        assert there.run("exit 7", given=b"x").code == 7


def test_what_start_up_files_print_does_not_mix_in() -> None:
    noisy = 'ForceCommand echo Welcome; echo "Beware" >&2; exec sh -c "$SSH_ORIGINAL_COMMAND"'
    with running_sshd(noisy) as server, place_at(server) as there:
        done = there.run("echo out; echo err >&2")
        assert (done.text, done.err) == ("out\n", "err\n")


def test_settings_for_the_users_own_logins_do_not_disturb(server: Sshd) -> None:
    server.configure_client(
        "RemoteCommand echo hijacked",
        "RequestTTY yes",
        "LocalForward 1 127.0.0.1:1",
        "RemoteForward /nowhere/x /nowhere/y",
        "ExitOnForwardFailure yes",
        "PermitLocalCommand yes",
        "LocalCommand echo hijacked",
        "ControlMaster auto",
        f"ControlPath {server.folder}/absent/%C",
        "ControlPersist 600",
    )
    with place_at(server) as there:
        assert there.run("echo ours").text == "ours\n"


def test_a_command_over_its_limit_is_killed_there(place: SshPlace, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(SubmissionError, match=f"on {HOST} took longer than 1 s and was killed: ") as caught:
        place.run(f"sleep 600 & echo $! >{pid_file}; wait", limit_s=1)
    assert caught.value.transient
    until(lambda: not command_line(int(pid_file.read_text())))
    assert place.run("echo again").text == "again\n"


def test_what_stays_in_the_background_is_not_waited_for_and_outlives_the_login(server: Sshd) -> None:
    with place_at(server) as there:
        pid = int(there.run("setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $!").text)
    assert command_line(pid) == "sleep 600 "
    kill(pid)


def test_commands_of_many_threads_share_one_login(server: Sshd) -> None:
    with place_at(server) as there:
        said: list[str] = []
        threads = [
            threading.Thread(target=lambda n=n: said.append(there.run(f"echo {n}").text)) for n in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT_S)
        assert sorted(said) == sorted(f"{n}\n" for n in range(20))
    assert (server.folder / "sshd.log").read_text().count("Accepted publickey") == 1


def test_a_server_that_allows_few_sessions_is_served_all_the_same(server: Sshd, tmp_path: Path) -> None:
    server.restart("MaxSessions 1")
    with place_at(server) as there:
        gate = tmp_path / "gate"
        os.mkfifo(gate)
        held = threading.Thread(target=lambda: there.run(f"echo here >{gate}; read -r line <{gate}"))
        held.start()
        gate.read_text()
        assert there.run("echo past").text == "past\n"
        gate.write_text("go\n")
        held.join(LIMIT_S)


def test_nothing_is_connected_before_the_first_command(server: Sshd) -> None:
    server.stop()
    with place_at(server) as there:
        assert there.name == HOST
        server.start()
        assert there.run("true").code == 0


def test_a_closed_place_says_so(place: SshPlace) -> None:
    place.close()
    place.close()
    with pytest.raises(SubmissionError, match=f"the connection to {HOST} is closed"):
        place.run("true")


# --- what goes wrong --------------------------------------------------------------------------------------------------


def refused(place: SshPlace) -> SubmissionError:
    with pytest.raises(SubmissionError) as caught:
        place.run("true", limit_s=LIMIT_S)
    return caught.value


def test_a_server_that_is_not_there(server: Sshd) -> None:
    server.stop()
    with place_at(server) as there:
        error = refused(there)
    assert f"{HOST} is not reached: nothing listens there: check the port" in str(error)
    assert error.transient


def test_a_host_key_that_has_changed(server: Sshd) -> None:
    server.change_host_key()
    server.restart()
    with place_at(server) as there:
        error = refused(there)
    assert f"ssh-keygen -R {HOST}" in str(error)
    assert not error.transient


def test_a_host_key_that_is_not_known(server: Sshd) -> None:
    server.be_a_stranger()
    with place_at(server) as there:
        error = refused(there)
    assert f"log in once by hand (ssh {HOST})" in str(error)
    assert not error.transient
    assert (server.folder / "known_hosts").read_text() == ""


def test_a_server_that_lets_nobody_in(server: Sshd) -> None:
    server.restart(*REFUSE_EVERYONE)
    with place_at(server) as there:
        error = refused(there)
    assert "does not let us in without a question" in str(error)
    assert "Permission denied (publickey)" in str(error)
    assert not error.transient


def test_an_account_that_runs_no_commands(server: Sshd) -> None:
    server.restart("ForceCommand echo This account is currently not available.; exit 1")
    with place_at(server) as there:
        error = refused(there)
    assert "the account runs no commands" in str(error)
    assert not error.transient


def test_a_folder_for_sockets_that_is_not_there(server: Sshd) -> None:
    there = SshPlace(server.target, replace(server.options, socket_folder=Path("/nowhere")))
    assert "can be made in /nowhere: No such file" in str(refused(there))


def test_a_host_that_does_not_exist(server: Sshd) -> None:
    with place_at(server, SshTarget("no-such-host.invalid")) as there:
        error = refused(there)
    assert "no-such-host.invalid is not reached" in str(error)
    assert "resolve" in str(error)


def test_a_server_that_says_nothing_is_given_up(server: Sshd) -> None:
    server.stop()
    with open_but_silent(server.port):
        there = SshPlace(server.target, replace(server.options, connect_limit_s=1))
        error = refused(there)
        there.close()
    assert "it does not answer" in str(error)
    assert error.transient


@contextmanager
def open_but_silent(port: int) -> Iterator[None]:
    import socket

    with socket.create_server(("127.0.0.1", port)):
        yield


def test_a_configuration_that_is_wrong(server: Sshd) -> None:
    server.configure_client("NoSuchOption yes")
    with place_at(server) as there:
        assert "OpenSSH's configuration on this machine is at fault" in str(refused(there))


def test_an_ssh_that_is_not_there(server: Sshd) -> None:
    there = SshPlace(server.target, replace(server.options, program="/nowhere/ssh"))
    assert "OpenSSH's client /nowhere/ssh is not on this machine; install it" in str(refused(there))


def test_no_question_is_asked_when_only_a_password_would_do(server: Sshd, tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    asking = tmp_path / "askpass"
    asking.write_text(f"#!/bin/sh\ntouch {asked}\n")
    asking.chmod(0o755)
    server.restart(
        "PasswordAuthentication yes", "KbdInteractiveAuthentication yes", "PubkeyAuthentication no"
    )
    program = (
        "import sys; from pilot.submission.ssh.place import SshPlace; "
        "from pilot.submission.ssh.target import SshOptions, SshTarget\n"
        f"place = SshPlace(SshTarget({HOST!r}), SshOptions(config_file={str(server.config_file)!r}))\n"
        "try: place.run('true')\nexcept Exception as error: print(error)\n"
    )
    variables = {**os.environ, "SSH_ASKPASS": str(asking), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=variables,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    assert "does not let us in" in done.stdout
    assert not asked.exists()


# --- what is lost -----------------------------------------------------------------------------------------------------


def test_after_a_restart_of_the_server_the_next_command_works(server: Sshd) -> None:
    with place_at(server) as there:
        there.run("true")
        server.restart()
        assert there.run("echo again").text == "again\n"


def test_after_the_death_of_the_master_the_next_command_works(server: Sshd) -> None:
    with place_at(server) as there:
        there.run("true")
        kill(master_pid(there))
        assert there.run("echo again").text == "again\n"


def test_a_cut_before_the_next_command_is_not_noticed_by_it(server: Sshd) -> None:
    with place_at(server) as there:
        there.run("true")
        server.cut_sessions()
        assert there.run("echo again").text == "again\n"


def test_a_command_that_was_cut_is_not_repeated(server: Sshd, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    errors: list[SubmissionError] = []

    def run() -> None:
        with pytest.raises(SubmissionError) as caught:
            there.run(f"echo run >>{runs}; echo here >{gate}; sleep 600")
        errors.append(caught.value)

    with place_at(server) as there:
        thread = threading.Thread(target=run)
        thread.start()
        gate.read_text()
        server.stop()
        thread.join(LIMIT_S)
        assert "was lost while a command ran" in str(errors[0])
        assert errors[0].transient
        server.start()
        assert there.run("echo again").text == "again\n"
    assert runs.read_text() == "run\n"


# --- whose master -----------------------------------------------------------------------------------------------------


@pytest.fixture
def users_master(server: Sshd) -> Iterator[Sshd]:
    server.configure_client(f"ControlPath {server.folder}/users-%C")
    ssh = ["ssh", "-F", str(server.config_file)]
    subprocess.run([*ssh, "-M", "-N", "-f", HOST], check=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S)
    yield server
    subprocess.run([*ssh, "-O", "exit", HOST], check=False, capture_output=True, timeout=LIMIT_S)


def test_a_master_of_the_user_is_used_and_left_alone(users_master: Sshd) -> None:
    users_master.restart_listener(*REFUSE_EVERYONE)  # as where a login needs a second factor
    with place_at(users_master) as there:
        assert there.run("echo through").text == "through\n"
    assert master_answers(users_master)


def master_answers(server: Sshd) -> bool:
    check = ["ssh", "-F", str(server.config_file), "-O", "check", HOST]
    return subprocess.run(check, check=False, capture_output=True, timeout=LIMIT_S).returncode == 0


def test_a_master_of_the_user_that_has_ended_is_replaced_by_ours(users_master: Sshd) -> None:
    with place_at(users_master) as there:
        there.run("true")
        exit_ = ["ssh", "-F", str(users_master.config_file), "-O", "exit", HOST]
        subprocess.run(exit_, check=True, capture_output=True, timeout=LIMIT_S)
        assert there.run("echo again").text == "again\n"


# --- what is left -----------------------------------------------------------------------------------------------------


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def folders(server: Sshd) -> list[Path]:
    return list(server.sockets.iterdir())


def test_twenty_places_leave_no_process_descriptor_thread_or_file(server: Sshd) -> None:
    before = children(os.getpid()), len(descriptors()), threading.active_count(), folders(server)
    places = [SshPlace(server.target, server.options) for _ in range(20)]
    for place in places:
        assert place.run("echo here").text == "here\n"
        place.close()
    assert (children(os.getpid()), len(descriptors()), threading.active_count(), folders(server)) == before


def test_a_login_that_hangs_is_killed_in_the_end(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_master, "END_LIMIT_S", 0.2)
    before = children(os.getpid()), folders(server)
    with place_at(server) as there:
        there.run("true")
        os.kill(master_pid(there), signal.SIGSTOP)
    assert (children(os.getpid()), folders(server)) == before


def test_an_application_that_is_killed_leaves_no_login(server: Sshd) -> None:
    program = (
        "import os, sys, time; from pilot.submission.ssh.place import SshPlace; "
        "from pilot.submission.ssh.target import SshOptions, SshTarget\n"
        f"place = SshPlace(SshTarget({HOST!r}), SshOptions(config_file={str(server.config_file)!r}))\n"
        "place.run('true'); print(place.connection.master().path, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        socket_path = Path(process.stdout.readline().strip())
        logins = descendants(process.pid)
        assert socket_path.exists()
        assert len(logins) >= 2
        process.kill()
    until(lambda: not socket_path.parent.exists())
    until(lambda: not any("ssh" in command_line(pid) for pid in logins))


def test_a_login_that_fails_leaves_nothing(server: Sshd) -> None:
    server.stop()
    before = children(os.getpid()), len(descriptors()), folders(server)
    with place_at(server) as there:
        refused(there)
    assert (children(os.getpid()), len(descriptors()), folders(server)) == before


def test_another_account_with_a_bare_python(server: Sshd) -> None:
    account = plain_account()
    with place_at(server, server.target_as(account)) as there:
        assert there.name == f"{account}@{HOST}"
        assert there.run("id -un").text == f"{account}\n"
        assert (
            there.run("/usr/bin/python3 -c 'import sys; print(sys.version_info >= (3, 9))'").text == "True\n"
        )
        assert there.run("/usr/bin/python3 -c 'import redis'").code == 1
