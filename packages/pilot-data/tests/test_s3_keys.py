"""Keys, parts and ETags."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot_data.adaptors.s3.etags import EtagHash, etag_of_parts, is_md5, part_size_of
from pilot_data.adaptors.s3.keys import MIB, is_folder_mark, key_of, part_size, path_of
from pilot_data.testing.sample_files import HARD_NAMES, content


@pytest.mark.parametrize("prefix", ["", "a", "a/b c"])
@pytest.mark.parametrize("path", HARD_NAMES)
def test_paths_come_back_from_keys(prefix: str, path: str) -> None:
    assert path_of(prefix, key_of(prefix, path)) == path


@given(st.integers(0, 5 << 40))
def test_parts_are_few_enough_and_not_too_small(size: int) -> None:
    part = part_size(size)
    assert part >= 16 * MIB
    assert part <= 5 << 30
    assert -(-size // part) <= 10_000
    assert part % MIB == 0


@given(st.integers(1, 100), st.integers(0, 300), st.integers(1, 50))
def test_the_etag_of_a_content_does_not_depend_on_its_blocks(part: int, size: int, block: int) -> None:
    data = content(size)
    found = EtagHash(part, single=False)
    for start in range(0, size, block):
        found.update(data[start : start + block])
    pieces = [data[start : start + part] for start in range(0, size, part)] or [b""]
    assert found.etag() == etag_of_parts(
        [hashlib.md5(piece, usedforsecurity=False).digest() for piece in pieces]
    )


@pytest.mark.parametrize("size", [0, 1, 100])
def test_the_etag_of_an_object_put_at_once_is_its_md5(size: int) -> None:
    etag = hashlib.md5(content(size), usedforsecurity=False).hexdigest()
    found = EtagHash(part_size_of(etag, size, 16 * MIB), single=is_md5(etag))
    found.update(content(size))
    assert found.etag() == etag


def test_the_size_of_parts_is_told_by_their_number() -> None:
    etag = f"{'0' * 32}-4"
    assert part_size_of(etag, 64 * MIB, 16 * MIB) == 16 * MIB
    assert part_size_of(etag, 32 * MIB, 16 * MIB) == 8 * MIB
    assert part_size_of(etag, 9_999 * MIB, 16 * MIB) == 0
    assert part_size_of("no etag of an MD5", 32 * MIB, 16 * MIB) == 0


def test_folder_marks_are_no_files() -> None:
    assert is_folder_mark("a/", 0)
    assert not is_folder_mark("a/", 1)
    assert not is_folder_mark("a", 0)
