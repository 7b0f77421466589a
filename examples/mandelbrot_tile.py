"""Renders one tile of a picture of the Mandelbrot set and writes it to standard output as a PPM image.

    python mandelbrot_tile.py LEFT TOP PIXEL COLUMNS ROWS > tile.ppm

LEFT and TOP are the tile's upper left corner in the complex plane, PIXEL is the width of a pixel there, COLUMNS and ROWS
the size of the tile in pixels. A plain program: it knows nothing of pilots, needs nothing but Python, and runs as well
by hand. `mandelbrot_sweep.py` runs it once per tile.
"""

from __future__ import annotations

import math
import sys

MAX_ITERATIONS = 1000
ESCAPE_RADIUS = 16.0
SAMPLES = 2  # per pixel and direction: 2 means that a pixel is the mean of 4 points

COLOURS = [(0, 7, 100), (32, 107, 203), (237, 255, 255), (255, 170, 0), (60, 10, 20)]
SHADES_PER_COLOUR = 400
INSIDE = (0, 0, 0)

Colour = tuple[float, float, float]


def make_shades() -> list[Colour]:
    """Return a circle of shades that leads smoothly through all colours and back to the first."""
    return [
        blend(COLOURS[index], COLOURS[(index + 1) % len(COLOURS)], step / SHADES_PER_COLOUR)
        for index in range(len(COLOURS))
        for step in range(SHADES_PER_COLOUR)
    ]


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that lies between two; a cosine makes it leave and arrive gently."""
    weight = (1 - math.cos(math.pi * share)) / 2
    red, green, blue = ((1 - weight) * a + weight * b for a, b in zip(first, second, strict=True))
    return red, green, blue


def escape_time(point: complex) -> float | None:
    """Return after how many iterations the point escapes, smoothed to a fraction; None when it stays.

    The smoothed number is the same whenever it is taken after the escape, so it is enough to look at every fourth.
    """
    z = 0j
    for iteration in range(4, MAX_ITERATIONS + 1, 4):
        z = z * z + point
        z = z * z + point
        z = z * z + point
        z = z * z + point
        if abs(z) > ESCAPE_RADIUS:
            return iteration - math.log2(math.log(abs(z)))
    return None


def shade_of(point: complex, shades: list[Colour]) -> Colour:
    """Return the colour of a point: the logarithm spreads the few iterations far out and the many close by alike."""
    iterations = escape_time(point)
    if iterations is None:
        return INSIDE
    turn = 0.38 * math.log2(max(iterations, 1.0))
    return shades[int(turn * len(shades)) % len(shades)]


def pixel(corner: complex, width: float, shades: list[Colour]) -> bytes:
    """Return the mean colour of the points of a pixel, as three bytes."""
    points = [
        corner + complex(column + 0.5, -row - 0.5) * width / SAMPLES
        for row in range(SAMPLES)
        for column in range(SAMPLES)
    ]
    found = [shade_of(point, shades) for point in points]
    return bytes(round(sum(channel) / len(found)) for channel in zip(*found, strict=True))


def main(left: float, top: float, width: float, columns: int, rows: int) -> None:
    shades = make_shades()
    corners = (
        complex(left + width * column, top - width * row) for row in range(rows) for column in range(columns)
    )
    sys.stdout.buffer.write(b"P6 %d %d 255\n" % (columns, rows))
    sys.stdout.buffer.write(b"".join(pixel(corner, width, shades) for corner in corners))


if __name__ == "__main__":
    left, top, width, columns, rows = sys.argv[1:]
    main(float(left), float(top), float(width), int(columns), int(rows))
