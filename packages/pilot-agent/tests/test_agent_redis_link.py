from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, Callable, TypeVar

import pytest

from pilot_agent.redis_link import LinkLostError, RedisLink, ServerFullError
from pilot_protocol import pilot_ops, reads, unit_ops
from pilot_protocol.errors import CoordinationError
from pilot_protocol.keys import Keys
from pilot_protocol.operation import FencedError, NoSessionError, PilotEndedError
from pilot_protocol.version import PROTOCOL
from redis_process import RedisProcess, running_redis, unused_port
from redis_servers import find_servers

T = TypeVar("T")

KEYS = Keys("s-a")
OPEN = pilot_ops.open_session(KEYS, PROTOCOL, 30_000)
CREATE = pilot_ops.create_pilot(KEYS, "p-a", "pcs-a", b"")
REGISTER = pilot_ops.register(KEYS, "p-a", "nonce", 30_000, {"cores": "2"})
SERVERS = find_servers()


@pytest.fixture(scope="module", params=list(SERVERS) or ["none"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisProcess]:
    """One server of each kind, for tests that leave it as it was."""
    with running_redis(tmp_path_factory.mktemp("redis"), program=SERVERS.get(request.param)) as server:
        yield server


@pytest.fixture
def server(shared: RedisProcess) -> Iterator[RedisProcess]:
    with shared.client() as client:
        client.flushall()
        yield shared
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory", 0)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A server that a test may end."""
    with running_redis(tmp_path / "redis") as server:
        yield server


def linked(url: str, act: Callable[[RedisLink], Awaitable[T]], timeout_s: float = 5.0) -> T:
    """Do something with a link; everything is closed afterwards."""

    async def main() -> T:
        link = RedisLink(url, timeout_s)
        try:
            await link.connect()
            return await act(link)
        finally:
            await link.close()

    return asyncio.run(main())


def claim(epoch: str) -> unit_ops.ClaimRequest:
    return unit_ops.ClaimRequest("p-a", epoch, 1, 1, 1, reserve=False, control_seen=0)


async def registered(link: RedisLink) -> str:
    await link.run(OPEN)
    await link.run(CREATE)
    return (await link.run(REGISTER)).epoch


def test_operations_and_reads_work(server: RedisProcess) -> None:
    async def act(link: RedisLink) -> tuple[str, str | None]:
        return (await link.run(OPEN)).protocol, await link.query(reads.protocol(KEYS))

    assert linked(server.url, act) == (PROTOCOL, PROTOCOL)


def test_a_local_socket_is_as_good_as_a_port(server: RedisProcess) -> None:
    async def act(link: RedisLink) -> str:
        return (await link.run(OPEN)).protocol

    assert linked(f"unix://{server.socket}", act) == PROTOCOL


def test_a_server_that_has_forgotten_the_scripts_is_told_them_again(server: RedisProcess) -> None:
    async def act(link: RedisLink) -> str:
        await link.run(OPEN)
        with server.client() as client:
            client.script_flush()
        return (await link.run(OPEN)).protocol

    assert linked(server.url, act) == PROTOCOL


def test_refusals_of_scripts_are_exceptions_of_their_own(server: RedisProcess) -> None:
    async def act(link: RedisLink) -> None:
        with pytest.raises(NoSessionError):
            await link.run(REGISTER)
        epoch = await registered(link)
        with pytest.raises(FencedError):
            await link.run(unit_ops.claim(KEYS, claim("1")))
        await link.run(pilot_ops.end(KEYS, "p-a", epoch, pilot_ops.PilotEnd("Done", "")))
        with pytest.raises(PilotEndedError):
            await link.run(REGISTER)

    linked(server.url, act)


def test_a_full_server_takes_no_claim_and_every_heartbeat(server: RedisProcess) -> None:
    async def act(link: RedisLink) -> None:
        epoch = await registered(link)
        with server.client() as client:
            client.config_set("maxmemory", 1)
        with pytest.raises(ServerFullError, match="its memory is full"):
            await link.run(unit_ops.claim(KEYS, claim(epoch)))
        await link.run(pilot_ops.beat(KEYS, "p-a", epoch, 30_000, 0, {"free_cores": "2"}))

    linked(server.url, act)


def test_a_server_that_became_a_replica_will_recover(server: RedisProcess) -> None:
    async def act(link: RedisLink) -> None:
        await link.run(OPEN)
        with server.client() as client:
            client.replicaof("127.0.0.1", "1")
        with pytest.raises(LinkLostError) as caught:
            await link.run(OPEN)
        assert not isinstance(caught.value, ServerFullError)

    linked(server.url, act)


def test_what_redis_does_not_understand_is_an_error_for_good(server: RedisProcess) -> None:
    async def act(link: RedisLink) -> None:
        with server.client() as client:
            client.set(KEYS.named("meta"), "no hash")
        with pytest.raises(CoordinationError, match=r"Redis answers: .*WRONGTYPE") as caught:
            await link.run(OPEN)
        assert not isinstance(caught.value, LinkLostError)
        assert not caught.value.transient

    linked(server.url, act)


@pytest.mark.parametrize(
    ("tone", "heard"), [("work", "work"), ("control", "control"), (b"\xff garbage", "work"), ("", "work")]
)
def test_the_bell_is_heard(server: RedisProcess, tone: Any, heard: str) -> None:
    async def act(link: RedisLink) -> str:
        bell = asyncio.ensure_future(link.wait_for_bell(KEYS.door("p-a")))
        # What is said on the other connection meanwhile does not disturb the bell.
        await link.run(OPEN)
        with server.client() as client:
            client.rpush(KEYS.door("p-a"), tone)
        return await bell

    assert linked(server.url, act) == heard


@pytest.mark.parametrize("turns", [1, 2, 5, 50])
def test_who_waits_at_the_bell_is_told_when_the_link_is_closed(server: RedisProcess, turns: int) -> None:
    async def act(link: RedisLink) -> None:
        bell = asyncio.ensure_future(link.wait_for_bell(KEYS.door("p-a")))
        for _ in range(turns):
            await asyncio.sleep(0)
        await link.connect()
        with pytest.raises(LinkLostError):
            await bell
        await link.run(OPEN)

    linked(server.url, act)


def test_a_reply_that_does_not_come_is_a_lost_link(own_server: RedisProcess) -> None:
    async def act(link: RedisLink) -> None:
        with own_server.client() as client:
            client.client_pause(60_000)
        with pytest.raises(LinkLostError):
            await link.query(reads.protocol(KEYS))

    linked(own_server.url, act, timeout_s=0.3)


def test_a_server_that_starts_again_is_another_boot(own_server: RedisProcess) -> None:
    async def act(link: RedisLink) -> tuple[str, str]:
        first = link.boot
        bell = asyncio.ensure_future(link.wait_for_bell(KEYS.door("p-a")))
        await link.run(OPEN)
        own_server.kill()
        for lost in (bell, link.run(OPEN), link.connect()):
            with pytest.raises(LinkLostError):
                await lost
        own_server.start()
        await link.connect()
        await link.run(OPEN)
        return first, link.boot

    first, second = linked(own_server.url, act)
    assert "" not in {first, second}
    assert first != second


async def nothing(_link: RedisLink) -> None:
    """What is done with a link that is not to be made at all."""


def test_a_link_that_was_never_made_is_a_lost_one() -> None:
    link = RedisLink("redis://127.0.0.1", 1.0)
    for use in (link.run(OPEN), link.query(reads.protocol(KEYS)), link.wait_for_bell("door")):
        with pytest.raises(LinkLostError):
            asyncio.run(use)
    asyncio.run(link.close())


def test_a_server_that_is_not_there_may_come() -> None:
    with pytest.raises(LinkLostError) as caught:
        linked(f"redis://:secret@127.0.0.1:{unused_port()}", nothing)
    assert caught.value.transient
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("user", ["", ":secret@", "somebody:secret@"])
def test_a_password_that_is_refused_is_refused_for_good(tmp_path: Path, user: str) -> None:
    with running_redis(tmp_path / "redis", password="right") as server:
        url = f"redis://{user}127.0.0.1:{server.port}"
        with pytest.raises(CoordinationError, match="Redis refuses the password of this session") as caught:
            linked(url, nothing)
    assert not isinstance(caught.value, LinkLostError)
    assert not caught.value.transient
    assert "secret" not in str(caught.value)


def test_a_url_that_is_none_is_refused_without_its_password() -> None:
    with pytest.raises(CoordinationError, match="the coordination URL cannot be used") as caught:
        linked("http://:secret@host", nothing)
    assert not caught.value.transient
    assert "secret" not in str(caught.value)
