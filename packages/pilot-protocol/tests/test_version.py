"""Ends of one major version understand one another; others are refused with both numbers."""

from __future__ import annotations

import pytest

from pilot_protocol.errors import VersionError
from pilot_protocol.version import MAJOR, MINOR, PROTOCOL, check_peer


def test_the_version_is_written_as_major_and_minor() -> None:
    assert f"{MAJOR}.{MINOR}" == PROTOCOL


@pytest.mark.parametrize("theirs", [PROTOCOL, f"{MAJOR}.0", f"{MAJOR}.99"])
def test_the_same_major_version_is_accepted(theirs: str) -> None:
    check_peer(theirs, who="session s-abc")


@pytest.mark.parametrize("theirs", [f"{MAJOR - 1}.9", f"{MAJOR + 1}.0", "10.0"])
def test_another_major_version_is_refused_with_both_numbers(theirs: str) -> None:
    with pytest.raises(VersionError) as refused:
        check_peer(theirs, who="session s-abc")
    assert f"session s-abc speaks protocol {theirs}, this side speaks {PROTOCOL}" in str(refused.value)


@pytest.mark.parametrize("theirs", ["", "1", "1.", ".1", "one.two", "1.0.0", "-1.0", "1.0 "])
def test_what_is_no_version_is_refused(theirs: str) -> None:
    with pytest.raises(VersionError, match="names no protocol version"):
        check_peer(theirs, who="agent of pilot p-abc")
