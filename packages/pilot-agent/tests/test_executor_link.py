from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable
from typing import Any, Callable

import pytest

from executor_driver import encode_frame
from pilot_agent.executor_link import ExecutorLink
from pilot_agent.node.frames import FrameDecoder
from pilot_agent.node.launcher import StartedExecutor

PID = 4711


class Wire:
    """A link, and the executor's end of its socket in the hands of the test."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.lost: list[int] = []
        self.news = asyncio.Event()
        self.link = ExecutorLink(3, self._hear, self._lose)
        self.executor = self.attach()

    def attach(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        self.link.attach(StartedExecutor(PID, ours))
        self.executor = theirs
        return theirs

    def _hear(self, executor: int, frame: Any) -> None:
        self.heard.append((executor, frame))
        self.news.set()

    def _lose(self, executor: int) -> None:
        self.lost.append(executor)
        self.news.set()

    async def next_news(self) -> None:
        await self.news.wait()
        self.news.clear()

    async def received(self, count: int) -> list[Any]:
        """Return so many frames that the link has sent."""
        decoder = FrameDecoder()
        frames: list[Any] = []
        while len(frames) < count:
            data = await asyncio.get_running_loop().sock_recv(self.executor, 65536)
            assert data, "the link closed the connection"
            frames += decoder.feed(data)
        return frames


def run(act: Callable[[Wire], Awaitable[None]]) -> None:
    async def main() -> None:
        wire = Wire()
        try:
            await asyncio.wait_for(act(wire), 10.0)
        finally:
            wire.link.close()
            wire.executor.close()

    asyncio.run(main())


def test_frames_reach_the_executor_in_order() -> None:
    async def act(wire: Wire) -> None:
        wire.link.send(["start", [1]])
        wire.link.send(["stop"])
        assert await wire.received(2) == [["start", [1]], ["stop"]]
        assert (wire.link.index, wire.link.pid) == (3, PID)

    run(act)


def test_frames_of_the_executor_are_heard() -> None:
    async def act(wire: Wire) -> None:
        wire.executor.sendall(encode_frame(["hello", {}]) + encode_frame(["events", {}]))
        await wire.next_news()
        assert wire.heard == [(3, ["hello", {}]), (3, ["events", {}])]

    run(act)


def test_a_frame_may_come_in_pieces() -> None:
    async def act(wire: Wire) -> None:
        frame = encode_frame(["events", {"ended": ["x" * 100]}])
        wire.executor.sendall(frame[:7])
        await asyncio.sleep(0)
        assert wire.heard == []
        wire.executor.sendall(frame[7:])
        await wire.next_news()
        assert len(wire.heard) == 1

    run(act)


def test_more_than_the_socket_takes_is_sent_when_it_does() -> None:
    async def act(wire: Wire) -> None:
        big = ["start", ["x" * 4_000_000]]
        wire.link.send(big)
        wire.link.send(["stop"])
        assert await wire.received(2) == [big, ["stop"]]

    run(act)


def test_what_was_said_before_the_end_is_heard_before_the_loss() -> None:
    async def act(wire: Wire) -> None:
        wire.executor.sendall(encode_frame(["events", {}]))
        wire.executor.close()
        while not wire.lost:
            await wire.next_news()
        assert (len(wire.heard), wire.lost) == (1, [3])

    run(act)


@pytest.mark.parametrize("garbage", [b"\xff" * 8, b"\x00\x00\x00\x01{"])
def test_an_executor_that_speaks_nonsense_is_lost(garbage: bytes) -> None:
    async def act(wire: Wire) -> None:
        wire.executor.sendall(garbage)
        await wire.next_news()
        assert (wire.heard, wire.lost) == ([], [3])

    run(act)


def test_an_executor_that_is_gone_takes_no_frames() -> None:
    async def act(wire: Wire) -> None:
        wire.executor.close()
        wire.link.send(["stop"])
        wire.link.send(["stop"])
        await wire.next_news()
        wire.link.send(["stop"])
        assert wire.lost == [3]

    run(act)


def test_an_executor_is_not_lost_while_it_is_spoken_to_and_its_last_words_are_heard() -> None:
    async def act(wire: Wire) -> None:
        wire.executor.sendall(encode_frame(["events", {}]))
        wire.executor.close()
        wire.link.send(["start", [1]])
        wire.link.send(["start", [2]])
        assert (wire.heard, wire.lost) == ([], [])
        while not wire.lost:
            await wire.next_news()
        assert (len(wire.heard), wire.lost) == (1, [3])
        wire.attach()
        wire.link.send(["stop"])
        assert await wire.received(1) == [["stop"]]

    run(act)


def test_half_a_frame_of_a_dead_executor_does_not_disturb_its_successor() -> None:
    async def act(wire: Wire) -> None:
        wire.executor.sendall(encode_frame(["events", {"ended": ["x" * 100]}])[:50])
        wire.executor.close()
        await wire.next_news()
        assert wire.lost == [3]
        wire.attach()
        wire.executor.sendall(encode_frame(["hello", {}]))
        await wire.next_news()
        assert wire.heard == [(3, ["hello", {}])]

    run(act)


def test_what_a_dead_executor_did_not_take_is_not_sent_to_its_successor() -> None:
    async def act(wire: Wire) -> None:
        wire.link.send(["start", ["x" * 4_000_000]])
        wire.executor.close()
        await wire.next_news()
        wire.attach()
        wire.link.send(["stop"])
        assert await wire.received(1) == [["stop"]]

    run(act)


def test_the_end_of_a_successor_is_waited_for() -> None:
    async def act(wire: Wire) -> None:
        wire.executor.close()
        await wire.next_news()
        wire.attach()
        loop = asyncio.get_running_loop()
        waiting = asyncio.ensure_future(wire.link.wait_closed(loop.time() + 60.0))
        await asyncio.sleep(0)
        assert not waiting.done()
        wire.executor.close()
        await waiting
        assert wire.lost == [3, 3]

    run(act)


def test_an_end_that_does_not_come_is_not_waited_for_beyond_the_deadline() -> None:
    async def act(wire: Wire) -> None:
        await wire.link.wait_closed(asyncio.get_running_loop().time() - 1.0)
        assert wire.lost == []

    run(act)


def test_closing_the_link_tells_the_executor_and_is_no_loss() -> None:
    async def act(wire: Wire) -> None:
        wire.link.close()
        wire.link.close()
        assert await asyncio.get_running_loop().sock_recv(wire.executor, 1) == b""
        assert wire.lost == []

    run(act)
