"""A node whose connection has ended: when it is waited for, taken back, given up."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clock_loop import ClockLoop, clock_loop
from pilot_agent import events
from pilot_agent.executor_link import ExecutorLink
from pilot_agent.far_executors import LOST_S, FarExecutors
from pilot_agent.fleet import FarNode, Fleet
from pilot_agent.lrms.local import LocalNode
from pilot_agent.node.frames import Framing
from pilot_agent.node_listener import Arrival

FIRST = 2
ENDED, BEGUN = [["cu-1", 1, {}]], [["cu-2", 1]]


class FakeFleet:
    """Two nodes, and launches that the test ends."""

    def __init__(self) -> None:
        self.peers: dict[str, socket.socket] = {}
        self.opened: list[socket.socket] = []
        self.nodes = [FarNode(LocalNode(name, 1), self.arrival(name)) for name in ("n2", "n3")]
        self.ended: set[str] = set()

    def arrival(self, name: str) -> Arrival:
        ours, self.peers[name] = socket.socketpair()
        self.opened += [ours, self.peers[name]]
        ours.setblocking(False)
        return Arrival({"pid": 1, "names": [name]}, ours, Framing())

    def serve(self, on_arrival: Any, on_launch_end: Any) -> None:
        self.on_arrival, self.on_launch_end = on_arrival, on_launch_end

    def name_of(self, arrival: Arrival) -> str | None:
        name: str = arrival.hello["names"][0]
        return name if name in self.peers and name != "n9" else None

    def launch_has_ended(self, name: str) -> bool:
        return name in self.ended


class Post:
    """The executors of two other nodes, in the hands of a test."""

    def __init__(self, loop: ClockLoop, fleet: FakeFleet) -> None:
        self.loop, self.fleet = loop, fleet
        self.heard: list[tuple[str, int]] = []
        self.links = [ExecutorLink(FIRST + at, lambda *_: None, lambda _: None) for at in range(2)]
        as_fleet: Any = fleet
        typed: Fleet = as_fleet
        self.far = FarExecutors(typed, self.links, ("/s", "/s/journal"), self._note, lambda _: (ENDED, BEGUN))
        loop.do(self.far.start)

    def _note(self, event: Any) -> None:
        self.heard.append((type(event).__name__, event.executor))
        if isinstance(event, events.ExecutorLost):
            assert (event.ended, event.begun) == (ENDED, BEGUN)

    def lose(self, at: int = 0, *, silent: bool = False) -> None:
        self.links[at].fell_silent = silent
        self.loop.do(self.links[at].close)
        self.loop.do(self.far.lose, FIRST + at)

    def call(self, name: str = "n2") -> None:
        self.loop.do(self.fleet.on_arrival, self.fleet.arrival(name))


@pytest.fixture
def loop() -> Iterator[ClockLoop]:
    with clock_loop() as loop:
        yield loop


@pytest.fixture
def post(loop: ClockLoop, tmp_path: Path) -> Iterator[Post]:
    post = Post(loop, FakeFleet())
    yield post
    loop.do(post.far.close)
    for link in post.links:
        loop.do(link.close)
    for each in post.fleet.opened:
        each.close()


def test_an_executor_that_calls_again_was_lost_and_is_up(post: Post) -> None:
    post.lose()
    assert post.heard == [("ExecutorSilent", 2)]
    post.call()
    assert post.heard[1:] == [("ExecutorLost", 2), ("ExecutorUp", 2)]
    assert post.far.lost == set()


def test_an_executor_that_calls_before_its_former_connection_is_seen_to_end_was_lost_too(post: Post) -> None:
    post.call()
    assert post.heard == [("ExecutorLost", 2), ("ExecutorUp", 2)]


def test_a_node_that_does_not_call_is_given_up_after_a_while(post: Post) -> None:
    post.lose(1)
    post.loop.advance(LOST_S - 1)
    assert post.heard == [("ExecutorSilent", 3)]
    post.loop.advance(2)
    assert post.heard[1:] == [("ExecutorLost", 3), ("NodeGone", 3)]
    assert post.far.lost == {"n3"}


def test_a_node_whose_launch_has_ended_is_given_up_at_once(post: Post) -> None:
    post.fleet.ended.add("n2")
    post.lose()
    assert [name for name, _ in post.heard] == ["ExecutorSilent", "ExecutorLost", "NodeGone"]


def test_a_node_whose_launch_ends_while_it_is_waited_for_is_given_up_then(post: Post) -> None:
    post.lose()
    post.fleet.ended.add("n2")
    post.loop.do(post.fleet.on_launch_end)
    assert [name for name, _ in post.heard] == ["ExecutorSilent", "ExecutorLost", "NodeGone"]


def test_the_end_of_a_launch_costs_nothing_as_long_as_the_connection_holds(post: Post) -> None:
    post.fleet.ended.add("n2")
    post.loop.do(post.fleet.on_launch_end)
    assert post.heard == []


def test_a_node_that_fell_silent_may_still_run_and_is_waited_for_whatever_its_launch_does(post: Post) -> None:
    post.fleet.ended.add("n2")
    post.lose(silent=True)
    post.loop.do(post.fleet.on_launch_end)
    assert post.heard == [("ExecutorSilent", 2)]


def test_a_node_that_was_given_up_may_still_come_back(post: Post) -> None:
    post.lose()
    post.loop.advance(LOST_S + 1)
    post.call()
    assert post.heard[-1] == ("ExecutorUp", 2)
    assert post.heard.count(("ExecutorLost", 2)) == 1
    assert post.far.lost == set()


def test_a_stranger_among_the_nodes_is_sent_away(post: Post) -> None:
    post.call("n9")
    assert post.heard == []
    assert Framing().feed(post.fleet.peers["n9"].recv(100)) == [["stop"]]
