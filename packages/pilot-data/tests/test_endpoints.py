"""How many transfers an endpoint takes at once, and how fast they are together."""

from __future__ import annotations

import pytest

from pilot_data.endpoints import Endpoint, Endpoints, Limits
from pilot_data.job import Bandwidth
from pilot_data.locations import parse
from pilot_data.storage import Access

HERE = Endpoint("file://", "localhost")
FAR = Endpoint("ssh://", "far")
BUCKET = Endpoint("s3://", "bucket")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.mark.parametrize(
    ("url", "access", "end"),
    [
        ("/data/x", None, HERE),
        ("file:///y", None, HERE),
        ("ssh://me@far/x", None, FAR),
        ("sftp://far:2222/x", None, Endpoint("ssh://", "far:2222")),
        ("s3://bucket/x", Access(), BUCKET),
        ("s3://bucket/x", Access(endpoint_url="http://mine:9000"), Endpoint("http://mine:9000", "bucket")),
        ("globus://abc/x", None, Endpoint("globus://", "abc")),
    ],
)
def test_an_endpoint_is_a_host_a_bucket_or_this_machine(
    url: str, access: Access | None, end: Endpoint
) -> None:
    assert Endpoint.of(parse(url), access) == end


def test_each_endpoint_takes_so_many_at_once() -> None:
    endpoints = Endpoints(Limits(transfers=2))
    assert endpoints.take([HERE, FAR])
    assert endpoints.take([HERE, HERE]), "both ends of one transfer may be the same"
    assert not endpoints.take([HERE, BUCKET])
    assert endpoints.take([FAR, BUCKET]), "what was refused has taken nothing"
    assert not endpoints.take([FAR])
    endpoints.give_back([HERE, FAR])
    assert endpoints.take([FAR, HERE])


def test_without_a_limit_there_is_no_pace() -> None:
    assert Endpoints().pace([HERE, FAR]) is None
    assert Endpoints(Limits(bytes_per_s_of={"far": 10.0})).pace([HERE]) is None


def test_bytes_in_a_second_are_shared_by_all_that_touch_an_endpoint() -> None:
    clock = Clock()
    endpoints = Endpoints(Limits(bytes_per_s=100.0), clock)
    first, second, other = (endpoints.pace(ends) for ends in ([HERE, FAR], [FAR, BUCKET], [BUCKET]))
    assert first is not None
    assert second is not None
    assert other is not None
    assert first.pause_s(50) == 0.5
    assert second.pause_s(50) == 1.0, "far has taken 100 bytes by now"
    assert other.pause_s(50) == 1.0, "the bucket 100, too"
    clock.now_s += 10
    assert other.pause_s(100) == 1.0


def test_a_host_may_have_a_limit_of_its_own() -> None:
    endpoints = Endpoints(
        Limits(bytes_per_s=100.0, bytes_per_s_of={"far": 10.0, "localhost": 1000.0}), Clock()
    )
    slow, fast = endpoints.pace([HERE, FAR]), endpoints.pace([HERE])
    assert slow is not None
    assert fast is not None
    assert slow.pause_s(10) == 1.0
    assert fast.pause_s(90) == pytest.approx(0.1)


def test_a_bandwidth_pays_for_what_has_moved() -> None:
    clock = Clock()
    limit = Bandwidth(200.0, clock)
    assert [limit.pause_s(count) for count in (100, 100, 0)] == [0.5, 1.0, 1.0]
    clock.now_s += 0.75
    assert limit.pause_s(0) == 0.25
    clock.now_s += 100
    assert limit.pause_s(20) == pytest.approx(0.1), "what was not used is not saved up"
