"""Decisions where units with data go are read as the scripts write them."""

from __future__ import annotations

import pytest

from pilot_protocol.errors import ProtocolError
from pilot_protocol.placements import Placement, read_placement


def test_a_decision_is_read() -> None:
    assert read_placement(b"copy|eu,m1|12|du-a@pd-1 du-b@pd-1|eu,m1:0.500 us,:12.000") == Placement(
        "copy", "eu,m1", 12, (("du-a", "pd-1"), ("du-b", "pd-1")), {"eu,m1": 0.5, "us,": 12.0}
    )
    assert read_placement(b"nowhere||0||") == Placement("nowhere")


@pytest.mark.parametrize("record", [b"", b"there|eu,m1", b"there|eu,|x||", b"there|eu,|1||eu,:x", b"\xff"])
def test_a_spoilt_one_is_refused(record: bytes) -> None:
    with pytest.raises(ProtocolError, match="a placement cannot be read"):
        read_placement(record)
