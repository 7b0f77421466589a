"""``pilot-data create``."""

from __future__ import annotations

from typing import Any

import click

from .options import access_options, places


@click.command
@places("urls")
@click.option(
    "--coordination-url",
    default="",
    metavar="URL",
    help="Redis server of the catalogue, without a password; by default $PILOT_COORDINATION_URL.",
)
@click.option("--session", default="", metavar="s-…", help="Make them in this session.")
@click.option(
    "--beside", default="", metavar="PD", help="Make them in the session and service of this Pilot-Data."
)
@click.option(
    "--size",
    type=click.FloatRange(0, min_open=True),
    metavar="MB",
    help="How much each may hold, in units of 10^6 bytes.",
)
@click.option("--label", "affinity_datacenter_label", default="", help="Label of the data center.")
@click.option("--machine-label", "affinity_machine_label", default="", help="Label of the machine.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object a line.")
@access_options
def create(urls: tuple[str, ...], **options: Any) -> None:
    """Make Pilot-Data: places at storages where data units are kept.

    Writes the URL of each. Those that are made together, or beside another one, can have the replicas of one data unit.
    """
    from .data_units.create import create as create_them

    create_them(urls, options)
