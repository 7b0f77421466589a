"""Every program of examples/ runs as it stands, with an embedded server and with one that is given, and leaves nothing."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from child_program import Ended, run_python

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NOT_RUN_HERE = {
    "quickstart.py",
    "lammps_ensemble.py",
    "replica_exchange.py",
    "genome_alignment.py",
    "mandelbrot_tile.py",
    "mandelbrot_sweep.py",
}
"""The first four have tests of their own, the last two are run together below."""

OUTPUT = {
    "simple_ensemble.py": "".join(f"Done: I am member {number} of 8\n" for number in range(1, 9)),
    "chained_ensemble.py": (
        "chain_with_dependencies: lines counted: 10 20 30 40\nchain_by_hand: lines counted: 10 20 30 40\n"
    ),
    "coupled_ensembles.py": (
        "A and B are done\n" + "".join(f"C brought together: a{n}+b{n}\n" for n in range(4))
    ),
    "several_pilots.py": r"pilot 1 ran (\d+) units\npilot 2 ran (\d+) units\ntogether 20 units, all Done\n",
    "direct_submission.py": (
        "state Done, exit code 0, attempts 1\nran on the pilot it was given to: True\nunits of this pilot: 1\n"
    ),
    "reconnect_pilot.py": (
        "second process: hello from another process\nfirst process: the pilot has run 1 unit for the second\n"
    ),
    "data_units.py": (
        "file                         bytes  replicas  exported copy\n"
        "results/run-1/energies.dat     679         2  same content\n"
        "results/run-2/energies.dat    1634         2  same content\n"
        "results/run-3/energies.dat    2551         2  same content\n"
        "Running: 4864 bytes at each of 2 places\n"
    ),
    "data_replication.py": "Running at 1 place\nRunning at 2 places\nsite-1: hello\nsite-2: hello\n",
    "compute_data.py": (
        "Done: data there, 0 bytes moved\nstderr.txt: empty\nstdout.txt: hello from a data unit\n"
    ),
    "word_count.py": (
        r"4 mappers, 2 reducers, 20000 words\nthe +\d+  #+\npilot +\d+  #+\nholds +\d+  #+\nnodes +\d+  #+\n"
        r"and +\d+  #+\nthe same as when counted here\n"
    ),
    "reconnect_unit.py": "slow one: Done, it computed\n",
}
"""What each example prints; a regular expression where it is not always the same."""


def run_example(name: str, environment: Mapping[str, str]) -> Ended:
    ended = run_python(EXAMPLES / name, {**environment, "PYTHONWARNINGS": "default"})
    ended.check_clean()
    return ended


@pytest.fixture
def with_server(environment: Mapping[str, str], any_redis_url: str) -> dict[str, str]:
    return {**environment, "PILOT_COORDINATION_URL": any_redis_url}


def test_every_example_is_run() -> None:
    programs = {path.name for path in EXAMPLES.glob("*.py")}
    assert programs == set(OUTPUT) | NOT_RUN_HERE


def test_every_example_is_explained() -> None:
    explained = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({path.name})" in explained for path in EXAMPLES.glob("*.py"))


@pytest.mark.parametrize("name", OUTPUT)
def test_with_an_embedded_server(name: str, environment: dict[str, str]) -> None:
    check_output(name, run_example(name, environment).stdout)


@pytest.mark.parametrize("name", OUTPUT)
def test_with_a_given_server(name: str, with_server: dict[str, str]) -> None:
    check_output(name, run_example(name, with_server).stdout)


def check_output(name: str, output: str) -> None:
    expected = OUTPUT[name]
    if expected != output:
        assert re.fullmatch(expected, output)


def test_pilots_share_the_work(environment: dict[str, str]) -> None:
    output = run_example("several_pilots.py", environment).stdout
    shares = [int(count) for count in re.findall(r"ran (\d+) units", output)]
    assert sum(shares) == 20
    assert min(shares) > 0


def test_mandelbrot_sweep(home: Path, environment: dict[str, str]) -> None:
    picture = home / "deep" / "picture.png"
    ended = run_python(EXAMPLES / "mandelbrot_sweep.py", environment, str(picture), "--width", "80")
    assert (ended.code, ended.left) == (0, ())
    progress = ended.stderr.splitlines()
    assert [line.split()[0] for line in progress] == [f"{tenth}0/100" for tenth in range(1, 11)]
    where, summary = ended.lines
    assert where == f"picture: {picture}"
    assert re.fullmatch(r"100 units on \d+ cores, \d+% busy, \d+\.\d units/s", summary)
    columns, rows, colours = read_png(picture)
    assert (columns, rows) == (80, 50)
    assert len(colours) > 1000


def read_png(path: Path) -> tuple[int, int, set[bytes]]:
    """Return width, height and the colours of a picture whose rows are differences to the left."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    columns, rows = struct.unpack(">II", data[16:24])
    compressed = data[data.index(b"IDAT") + 4 : data.index(b"IEND") - 8]
    scanlines = zlib.decompress(compressed)
    length = 1 + 3 * columns
    assert len(scanlines) == rows * length
    colours = set()
    for start in range(0, len(scanlines), length):
        assert scanlines[start] == 1
        pixel = (0, 0, 0)
        for position in range(start + 1, start + length, 3):
            red, green, blue = scanlines[position : position + 3]
            pixel = ((pixel[0] + red) & 255, (pixel[1] + green) & 255, (pixel[2] + blue) & 255)
            colours.add(bytes(pixel))
    return columns, rows, colours
