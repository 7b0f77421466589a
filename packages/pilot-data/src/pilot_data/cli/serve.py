"""``pilot-data serve``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from .options import output_options, rate


def _rate(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float:
    return rate(text) if text is not None else 0.0


def _rates(_context: click.Context, _parameter: click.Parameter, texts: Sequence[str]) -> dict[str, float]:
    """Read ``HOST=RATE``."""
    rates: dict[str, float] = {}
    for text in texts:
        host, equals, number = text.rpartition("=")
        if not equals or not host:
            raise click.BadParameter(f"{text!r} is no HOST=RATE, like far.example.org=5M.")
        rates[host] = rate(number)
    return rates


@click.command
@click.argument("names", nargs=-1, metavar="[PDS|PD]...")
@click.option("--session", default="", metavar="s-…", help="Serve the Pilot-Data of this session.")
@click.option(
    "--coordination-url",
    default="",
    metavar="URL",
    help="Serve all sessions on this Redis server that are known on this machine; by default $PILOT_COORDINATION_URL.",
)
@click.option(
    "--transfers",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="How many replicas may be on their way at one host, bucket or collection.",
)
@click.option(
    "--bandwidth", metavar="RATE", callback=_rate, help="Bytes in a second at each of them, like 10M."
)
@click.option(
    "--bandwidth-of",
    multiple=True,
    metavar="HOST=RATE",
    callback=_rates,
    help="The same for one of them; localhost is this machine's disks.",
)
@output_options
def serve(names: tuple[str, ...], **options: Any) -> int:
    """Make the replicas of data units that anybody asks for, until Ctrl-C.

    At all Pilot-Data, or at those that are named by their URLs, ids, or the URL of their service. Any number of these may
    run, on any machines: each replica is made by one of them. One that ends hands back what it has not finished, and what one
    that was killed had begun is finished by another after half a minute.
    """
    from .data_units.serve import serve as serve_them

    return serve_them(names, options)
