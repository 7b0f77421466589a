"""Pilot-Data are made."""

from __future__ import annotations

from typing import Any

import click

from pilot_data import data_session
from pilot_data.cli.output import show_event
from pilot_data.data_session import DataSession
from pilot_data.locations import parse
from pilot_data.pilot_data_service import make_pilot_data
from pilot_protocol.errors import DescriptionError
from pilot_session.identifiers import new_id

from .found import find
from .server import server_named


def create(urls: tuple[str, ...], options: dict[str, Any]) -> None:
    """Make Pilot-Data of one service, and tell their URLs.

    Args:
        urls: Of storages.
        options: Of the command.
    """
    session, service = _service(options)
    keys = (
        "size",
        "affinity_datacenter_label",
        "affinity_machine_label",
        "profile",
        "endpoint_url",
        "region",
        "ssh_client",
    )
    description = {key: options[key] for key in keys if options[key]}
    if options["identity_file"]:
        description["userkey"] = options["identity_file"]
    for url in urls:
        place = str(parse(url))  # a path is one of this machine
        made = make_pilot_data(session, service, {"service_url": place, **description})
        if options["as_json"]:
            show_event("pilot-data", url=made.url, id=made.id, service_url=place)
        else:
            click.echo(made.url)


def _service(options: dict[str, Any]) -> tuple[DataSession, str]:
    """Return the session and the service that the Pilot-Data are to be of."""
    given = [
        f"--{name.replace('_', '-')}" for name in ("beside", "session", "coordination_url") if options[name]
    ]
    if len(given) > 1 and set(given) != {"--beside", "--session"}:
        raise DescriptionError(f"{' and '.join(given)} exclude one another", key="coordination_url")
    if options["beside"]:
        beside = find(options["beside"], options["session"], kind="pd")
        return beside.session, beside.store_record.service
    if options["session"]:
        return data_session.choose(None, options["session"]), new_id("pds")
    return data_session.choose(server_named(options["coordination_url"], "--session or --beside")), new_id(
        "pds"
    )
