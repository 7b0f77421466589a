"""Records of files and replicas, and what is read out of replies about data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_protocol import data_ops
from pilot_protocol.data_records import FileRecord, ReplicaRecord, state_of_replicas
from pilot_protocol.errors import ProtocolError
from pilot_protocol.keys import Keys

KEYS = Keys("s-abc")
any_text = st.text(st.characters(exclude_categories=[]))
files = st.builds(
    FileRecord, any_text, st.integers(0), st.integers(), st.integers(0), any_text, any_text, st.booleans(), st.integers(0)
)  # fmt: skip


@given(files)
def test_a_file_is_read_back(file: FileRecord) -> None:
    assert FileRecord.from_bytes(file.path, file.to_bytes()) == file


def test_fields_of_a_later_version_are_ignored() -> None:
    assert FileRecord.from_bytes("a", b'[1,2,3,"","",0,4,"new"]') == FileRecord("a", 1, 2, 3, part=4)


@pytest.mark.parametrize(
    "record", [b"", b"{}", b"[]", b'[1,2,3,"","",0]', b'["1",2,3,"","",0,0]', b'[true,2,3,"","",0,0]']
)
def test_a_file_that_cannot_be_read_is_named(record: bytes) -> None:
    with pytest.raises(ProtocolError):
        FileRecord.from_bytes("a", record)


@pytest.mark.parametrize(
    ("letters", "wanted", "state"),
    [
        ("", 1, "Pending"), ("P", 1, "Pending"), ("R", 1, "Pending"), ("D", 1, "Running"), ("D", 2, "Running"),
        ("DF", 1, "Running"), ("DF", 2, "Failed"), ("F", 1, "Failed"), ("FP", 1, "Pending"), ("C", 1, "Canceled"),
        ("CF", 1, "Failed"), ("CD", 2, "Running"), ("CC", 2, "Canceled"), ("DD", 2, "Running"),
    ],
)  # fmt: skip
def test_a_state_follows_from_replicas(letters: str, wanted: int, state: str) -> None:
    replicas = [ReplicaRecord("du-a", f"pd-{number}", letter) for number, letter in enumerate(letters)]
    assert state_of_replicas(replicas, wanted) == state


def test_replicas_are_read() -> None:
    reply = b"pd-a|D||0|12|12|0| pd-b|R|me|17|3|12|1| pd-c|F||0|0|0|0|disk%20full%20%7C"
    assert data_ops.replicas(KEYS, "du-a").parse(reply) == [
        ReplicaRecord("du-a", "pd-a", "D", "", 12),
        ReplicaRecord("du-a", "pd-b", "R", "me", 3),
        ReplicaRecord("du-a", "pd-c", "F", reason="disk full |"),
    ]
    assert data_ops.replicas(KEYS, "du-a").parse(None) == []


@pytest.mark.parametrize(
    "spoilt", ["", "|", "pd-b|X||0|0|0|0|", "pd-b|D||0|²|0|0|", "pd-b|D||0|-1|0|0|", "pd-b|D||0|0|0|0"]
)
def test_a_replica_that_cannot_be_read_hides_no_other(spoilt: str) -> None:
    reply = f"{spoilt} pd-a|D||0|12|12|0|%ff".encode()
    assert data_ops.replicas(KEYS, "du-a").parse(reply) == [
        ReplicaRecord("du-a", "pd-a", "D", "", 12, "\ufffd")
    ]


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        (None, ("", "")), (b"", ("", "")), (b"Nonsense|1|why", ("", "why")), (b"\xff", ("", "")),
        (b"Running|", ("Running", "")), (b"Failed|2|a%20b", ("Failed", "a b")),
    ],
)  # fmt: skip
def test_a_state_is_read(reply: bytes | None, state: tuple[str, str]) -> None:
    assert data_ops.data_unit_state(KEYS, "du-a").parse(reply) == state


@pytest.mark.parametrize(("reply", "number"), [(None, 0), (b"12", 12), (12, 12), (b"x", 0)])
def test_a_number_is_read(reply: bytes | int | None, number: int) -> None:
    assert data_ops.data_unit_bytes(KEYS, "du-a").parse(reply) == number


def test_a_record_without_its_size_is_refused() -> None:
    with pytest.raises(ProtocolError, match="the record of file"):
        data_ops.files(KEYS, "du-a", 0, 5).parse([b"0", [b"a", b"x|record"]])


@given(st.binary(min_size=1))
def test_a_path_is_the_bytes_it_had(path: bytes) -> None:
    assert data_ops.path_bytes(path.decode("utf-8", "surrogateescape")) == path
