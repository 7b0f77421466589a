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
from pilot_session import coordination_url
from pilot_session.config import SessionConfig
from pilot_session.identifiers import new_id

from .found import find


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
    return data_session.choose(_server(options["coordination_url"])), new_id("pds")


def _server(given: str) -> str | None:
    """Return the server that was named; None for that of the environment.

    Raises:
        DescriptionError: None is named, or with a password.
    """
    if not given and not SessionConfig.from_environment().coordination_url:
        raise DescriptionError(
            "the catalogue has no place: give --coordination-url redis://host, --session or --beside, or set "
            "PILOT_COORDINATION_URL",
            key="coordination_url",
        )
    if given and coordination_url.parse(given).password:
        raise DescriptionError(
            "--coordination-url has a password, which others can read in the list of processes; set "
            "PILOT_COORDINATION_URL instead",
            key="coordination_url",
        )
    return given or None
