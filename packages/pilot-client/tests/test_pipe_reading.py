"""Reading up to a sign, for a limited time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

import pytest

from pilot.submission.pipe_reading import Found, PipeEndedError, read_past


@pytest.fixture
def pipe() -> Iterator[tuple[IO[bytes], int]]:
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as reader:
        yield reader, writing


def test_what_comes_before_is_dropped_and_what_comes_after_is_handed_on(pipe: tuple[IO[bytes], int]) -> None:
    reader, writing = pipe
    os.write(writing, b"noise\nSIGN 12\nrest\nof it")
    assert read_past(reader, b"SIGN", 10) == Found(b" 12", b"rest\nof it")
    os.close(writing)


def test_a_sign_that_comes_in_pieces_is_found(pipe: tuple[IO[bytes], int]) -> None:
    reader, writing = pipe
    os.write(writing, b"noiseSI")
    from threading import Timer

    def go_on() -> None:
        os.write(writing, b"GN\n")
        os.close(writing)

    timer = Timer(0.05, go_on)
    timer.start()
    assert read_past(reader, b"SIGN", 10) == Found(b"", b"")
    timer.join()


def test_an_end_without_the_sign_tells_what_came_instead(pipe: tuple[IO[bytes], int]) -> None:
    reader, writing = pipe
    os.write(writing, b"SIGN without line end")
    os.close(writing)
    with pytest.raises(PipeEndedError) as caught:
        read_past(reader, b"SIGN", 10)
    assert caught.value.text == b"SIGN without line end"


def test_silence_is_not_waited_for_longer_than_asked(pipe: tuple[IO[bytes], int]) -> None:
    reader, writing = pipe
    with pytest.raises(TimeoutError):
        read_past(reader, b"SIGN", 0.01)
    os.close(writing)
