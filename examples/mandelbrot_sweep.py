"""A parameter sweep with something to look at: 100 compute units, each renders one tile of the Mandelbrot set.

    python mandelbrot_sweep.py [PICTURE.png] [--width PIXELS]

The tiles differ much in the time they take; late binding keeps all cores busy until the end. Shows the progress on
standard error; prints where the picture is, how busy the pilot was, and how many units ended per second.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pilot import ComputeDataService, ComputeUnit, PilotComputeService

TILE_PROGRAM = Path(__file__).resolve().with_name("mandelbrot_tile.py")
TILES = 10  # in each direction
CENTRE = complex(-0.7435669, 0.1314023)
WIDTH = 0.0022878  # of the picture, in the complex plane
CORES = len(os.sched_getaffinity(0))


def main(picture: Path, columns: int) -> None:
    """Render the picture with all cores of this machine."""
    with (
        tempfile.TemporaryDirectory(prefix="mandelbrot-") as folder,
        PilotComputeService() as pilots,
        ComputeDataService() as sweep,
    ):
        pilots.create_pilot(
            {
                "service_url": "fork://localhost",
                "number_of_processes": CORES,
                "working_directory": folder,
                "walltime": 10,
            }
        )
        sweep.add_pilot_compute_service(pilots)
        units = sweep.submit_compute_units(
            describe_tile(row, column, columns, folder) for row in range(TILES) for column in range(TILES)
        )
        rate = follow(sweep, units)
        write_png(picture, join_tiles(folder))
        print(f"picture: {picture.resolve()}")
        print(f"{len(units)} units on {CORES} cores, {utilisation(units):.0%} busy, {rate:.1f} units/s")


def describe_tile(row: int, column: int, picture_columns: int, folder: str) -> dict[str, Any]:
    """Describe the compute unit that renders one tile."""
    pixel = WIDTH / picture_columns
    columns, rows = picture_columns // TILES, picture_columns * 5 // 8 // TILES
    left = CENTRE.real + (column - TILES / 2) * columns * pixel
    top = CENTRE.imag - (row - TILES / 2) * rows * pixel
    return {
        "executable": sys.executable,
        "arguments": [
            "-I",
            "-S",
            str(TILE_PROGRAM),
            repr(left),
            repr(top),
            repr(pixel),
            str(columns),
            str(rows),
        ],
        "output": tile_file(folder, row, column),
    }


def tile_file(folder: str, row: int, column: int) -> str:
    return f"{folder}/tile-{row}-{column}.ppm"


def follow(sweep: ComputeDataService, units: Sequence[ComputeUnit]) -> float:
    """Show the progress until all units have ended; return how many ended per second.

    Raises:
        ComputeUnitFailed: One did not end well; what it wrote to standard error is in the message.
    """
    started = time.monotonic()
    rate = 0.0
    for done, unit in enumerate(sweep.as_completed(units), 1):
        unit.result()
        elapsed = time.monotonic() - started
        rate = done / elapsed
        show(done, len(units), f"{done}/{len(units)} tiles, {rate:.1f} units/s, {elapsed:.1f} s")
    return rate


def show(done: int, total: int, line: str) -> None:
    """Show a line: in place on a terminal, else one line for every tenth of the work."""
    if sys.stderr.isatty():
        bar = "█" * (30 * done // total)
        print(f"\r{bar:░<30} {line} ", end="\n" if done == total else "", file=sys.stderr, flush=True)
    elif done * 10 // total > (done - 1) * 10 // total:
        print(line, file=sys.stderr, flush=True)


def utilisation(units: Sequence[ComputeUnit]) -> float:
    """Return which share of the pilot's cores ran units, from the first start to the last end."""
    runs = [(unit.details["started"], unit.details["ended"]) for unit in units]
    span: float = max(end for _, end in runs) - min(start for start, _ in runs)
    busy: float = sum(end - start for start, end in runs)
    return busy / (CORES * span)


def join_tiles(folder: str) -> list[bytes]:
    """Return the rows of pixels of the whole picture, three bytes a pixel."""
    rows: list[bytes] = []
    for tile_row in range(TILES):
        tiles = [read_ppm(tile_file(folder, tile_row, column)) for column in range(TILES)]
        rows += [b"".join(parts) for parts in zip(*tiles, strict=True)]
    return rows


def read_ppm(path: str) -> list[bytes]:
    """Return the rows of pixels of a PPM image."""
    header, _, pixels = Path(path).read_bytes().partition(b"\n")
    columns, rows = map(int, header.split()[1:3])
    assert len(pixels) == 3 * columns * rows, f"{path} is cut short"
    return [pixels[start : start + 3 * columns] for start in range(0, len(pixels), 3 * columns)]


def write_png(path: Path, rows: Sequence[bytes]) -> None:
    """Write rows of pixels, three bytes a pixel, as a PNG image (https://www.w3.org/TR/png/)."""
    header = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)  # 8 bit, red green blue
    pixels = zlib.compress(b"".join(map(scanline, rows)), 9)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def scanline(row: bytes) -> bytes:
    """Return a row filtered by "sub": as differences to the pixel on the left, which compress better."""
    return b"\1" + row[:3] + bytes((here - left) & 255 for left, here in zip(row, row[3:], strict=False))


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Render a part of the Mandelbrot set, one compute unit per tile."
    )
    parser.add_argument("picture", nargs="?", type=Path, default=Path("mandelbrot.png"))
    parser.add_argument("--width", type=int, default=800, help="of the picture in pixels, a multiple of 80")
    options = parser.parse_args()
    if options.width <= 0 or options.width % 80:
        parser.error(
            f"--width is {options.width}; a multiple of 80 is needed, so that all tiles are of one size"
        )
    main(options.picture, options.width)
