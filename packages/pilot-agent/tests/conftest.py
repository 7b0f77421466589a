"""What the tests of executors start from: a real one, and a pipe to its units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from executor_driver import Head, Signpost


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    """The head of an executor on its own node."""
    with closing(Head(tmp_path)) as head:
        yield head


@pytest.fixture
def signpost(tmp_path: Path) -> Signpost:
    """A named pipe for units."""
    return Signpost(tmp_path / "signpost")
