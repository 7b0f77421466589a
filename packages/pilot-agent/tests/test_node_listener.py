"""Both ends of an executor's call, over a real connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from typing import Any, Callable

import pytest

from pilot_agent.node.dialing import Call, UnreachableError, dial
from pilot_agent.node.frames import PROTOCOL
from pilot_agent.node.handshake import link_key
from pilot_agent.node_listener import Arrival, NodeListener, addresses_for

KEY = link_key(b"k" * 32, "p-1")
HELLO = {"protocol": PROTOCOL, "pid": 7, "names": ["n2"]}


async def _call(port: int, key: bytes = KEY, hello: Any = HELLO) -> Call:
    """Call as an executor does, which waits for each answer."""

    def call() -> Call:
        called = dial([f"localhost:{port}"], key, 10.0)
        called.say(["hello", hello])
        return called

    return await asyncio.get_running_loop().run_in_executor(None, call)


def listening(play: Callable[[NodeListener, asyncio.Queue[Arrival]], Awaitable[None]]) -> None:
    async def run() -> None:
        listener, arrivals = NodeListener(KEY), asyncio.Queue[Arrival]()
        listener.hand_to(arrivals.put_nowait)
        try:
            await asyncio.wait_for(play(listener, arrivals), 30.0)
        finally:
            listener.close()

    asyncio.run(run())


def test_an_executor_with_the_key_is_let_in_and_both_ends_understand_each_other() -> None:
    async def play(listener: NodeListener, arrivals: asyncio.Queue[Arrival]) -> None:
        call = await _call(listener.port)
        arrival = await arrivals.get()
        assert arrival.hello == HELLO
        frames = arrival.framing.wrap('["welcome",{}]') + arrival.framing.wrap('["start",[]]')
        arrival.socket.sendall(frames)
        assert call.hear() == ["welcome", {}]
        # What follows is left for whoever takes the connection over.
        assert call.framing.feed(call.connection.recv(1000)) == [["start", []]]
        call.connection.close()
        arrival.socket.close()

    listening(play)


def test_an_executor_that_nobody_waits_for_is_sent_away() -> None:
    async def play(listener: NodeListener, _arrivals: asyncio.Queue[Arrival]) -> None:
        listener.hand_to(Arrival.dismiss)
        call = await _call(listener.port)
        assert await asyncio.get_running_loop().run_in_executor(None, call.hear) == ["stop"]
        call.connection.close()

    listening(play)


def test_an_executor_with_another_key_is_refused_and_told_so() -> None:
    async def play(listener: NodeListener, arrivals: asyncio.Queue[Arrival]) -> None:
        with pytest.raises(UnreachableError, match=r"localhost:\d+: the head has another key"):
            await _call(listener.port, link_key(b"k" * 32, "p-2"))
        assert arrivals.empty()

    listening(play)


def test_an_executor_of_another_version_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def play(listener: NodeListener, arrivals: asyncio.Queue[Arrival]) -> None:
        call = await _call(listener.port, hello={**HELLO, "protocol": PROTOCOL + 1})
        with pytest.raises(UnreachableError, match="the head closed the connection"):
            await asyncio.get_running_loop().run_in_executor(None, call.hear)
        assert arrivals.empty()
        call.connection.close()

    listening(play)
    assert f"it speaks another version of the frames than {PROTOCOL}" in caplog.text


def test_a_head_that_is_gone_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(
        UnreachableError, match=rf"the head cannot be reached \(127.0.0.1:{port}: .*refused\)"
    ):
        dial([f"127.0.0.1:{port}"], KEY, 3600.0)


def test_the_next_address_is_tried_when_one_leads_nowhere() -> None:
    async def play(listener: NodeListener, arrivals: asyncio.Queue[Arrival]) -> None:
        heads = ["no-such-host.invalid:1", f"localhost:{listener.port}"]
        call = await asyncio.get_running_loop().run_in_executor(None, dial, heads, KEY, 10.0)
        call.say(["hello", HELLO])
        arrival = await arrivals.get()
        call.connection.close()
        arrival.socket.close()

    listening(play)


def test_nodes_are_told_the_address_on_the_way_to_them_and_the_names_of_this_machine() -> None:
    addresses = addresses_for(["localhost", "no-such-host.invalid"], "n1")
    assert {"127.0.0.1", "::1"} & set(addresses[:2])
    assert addresses[-2:] == ["n1", socket.gethostname()]
