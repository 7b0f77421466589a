"""Lists of hosts, counts and times as batch systems write them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pilot_agent.lrms.durations import moment_of, seconds_of
from pilot_agent.lrms.gpus import gpus_of
from pilot_agent.lrms.host_lists import expand_counts, expand_hosts, expand_numbers


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ""),
        ("node1", "node1"),
        ("n[1-3,07],m5", "n1 n2 n3 n07 m5"),
        ("node[1-2],x[08-10]", "node1 node2 x08 x09 x10"),
        ("n[098-101]", "n098 n099 n100 n101"),
        ("r[1-2]n[1-2]-ib,login", "r1n1-ib r1n2-ib r2n1-ib r2n2-ib login"),
        ("cn-1.example.org", "cn-1.example.org"),
    ],
)
def test_hosts_are_listed_in_order_with_their_zeros(text: str, hosts: str) -> None:
    assert " ".join(expand_hosts(text)) == hosts


@pytest.mark.parametrize(
    "text", ["n[1-3", "n]1[", "n[]", "n[3-1]", "n[1-x]", "n1,,n2", "n[0-99999999]", "n 1", "n[[1]]"]
)
def test_what_is_no_list_of_hosts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is n"):
        expand_hosts(text)


def test_counts_may_be_repeated() -> None:
    assert expand_counts("4(x2),3,1(x3)") == (4, 4, 3, 1, 1, 1)
    for wrong in ("", "4(x)", "x2", "4(x99999999)"):
        with pytest.raises(ValueError, match="is no count"):
            expand_counts(wrong)


def test_numbers_may_be_ranges() -> None:
    assert expand_numbers("0-2,7") == (0, 1, 2, 7)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5), ("4:05", 245), ("03:04:05", 11045), ("2-03:04:05", 183845), ("2-03", 183600),
        ("2-03:04", 183840), ("2:03:04:05", 183845), ("UNLIMITED", None), ("", None), ("NOT_SET", None), ("-1", None),
    ],
)  # fmt: skip
def test_durations_in_all_their_forms(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


def test_dates_may_be_none() -> None:
    assert moment_of("") is moment_of("Unknown") is None
    assert moment_of("Sun Nov  8 16:44:36 2026") == moment_of("Sun Nov 08 16:44:36 2026")


@pytest.mark.parametrize(
    ("environment", "gpus"),
    [
        ({}, None),
        ({"CUDA_VISIBLE_DEVICES": "0,1"}, ("0", "1")),
        ({"CUDA_VISIBLE_DEVICES": "GPU-5c1e,MIG-77aa/1/0"}, ("GPU-5c1e", "MIG-77aa/1/0")),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, ()),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
        ({"ROCR_VISIBLE_DEVICES": "2", "BATCH_GPUS": "7"}, ("2",)),
        ({"BATCH_GPUS": "gpu:a100:4,5"}, ("4", "5")),
        ({"BATCH_GPUS": "4 5"}, ("4", "5")),
    ],
)
def test_gpus_are_what_the_drivers_will_see(
    environment: Mapping[str, str], gpus: tuple[str, ...] | None
) -> None:
    assert gpus_of(environment, ["BATCH_GPUS"]) == gpus
