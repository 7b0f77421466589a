"""Serves sessions, until it is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from pilot_data import data_session
from pilot_data.catalogue import PilotDataRecord
from pilot_data.cli.canceling import canceling
from pilot_data.cli.catalogue_names import kind_named
from pilot_data.data_session import DataSession
from pilot_data.endpoints import Endpoints, Limits
from pilot_data.handles import find as find_url
from pilot_data.job import Job
from pilot_data.known_sessions import sessions_at
from pilot_data.stager import Stager
from pilot_protocol.errors import DescriptionError, StateError
from pilot_session import coordination_url
from pilot_session.config import SessionConfig

from .found import find
from .server import server_named
from .telling_stagings import StagingTelling


@dataclass(frozen=True)
class _Service:
    """What is served of a session.

    Attributes:
        session: Whose.
        names: Of Pilot-Data and their services; empty for all.
    """

    session: DataSession
    names: frozenset[str] = frozenset()

    def covers(self, store: PilotDataRecord) -> bool:
        """Return whether replicas at a Pilot-Data are served."""
        return not self.names or bool(self.names & {store.id, store.service})

    def count(self) -> int:
        """Return how many Pilot-Data there are to serve now."""
        catalogue = self.session.catalogue
        stores = map(catalogue.pilot_data, catalogue.list_pilot_data())
        return sum(store is not None and self.covers(store) for store in stores)


def serve(names: Collection[str], options: dict[str, Any]) -> int:
    """Make replicas until Ctrl-C or a request to terminate; return the exit code.

    Args:
        names: Of Pilot-Data and services; all Pilot-Data if there are none.
        options: Of the command.
    """
    services = _services(names, options)
    limits = Limits(options["transfers"], options["bandwidth"], options["bandwidth_of"])
    ended = threading.Event()
    with canceling(Job(), ended.set) as interruption:
        telling = StagingTelling(interruption, as_json=options["as_json"], quiet=options["quiet"])
        endpoints = Endpoints(limits)
        stagers = [
            Stager(service.session.catalogue, service.session.owner, endpoints=endpoints, listener=telling)
            for service in services
        ]
        for service, stager in zip(services, stagers, strict=True):
            telling.serving(service.session.id, service.count())
            stager.serve(service.covers)
        ended.wait()
        for stager in stagers:
            stager.close(cancel=True)
        return interruption.exit_code


def _services(names: Collection[str], options: dict[str, Any]) -> list[_Service]:
    given = [f"--{name.replace('_', '-')}" for name in ("session", "coordination_url") if options[name]]
    if len(given) > 1 or ("--coordination-url" in given and names):
        both = [*given, *(["names"] if names else [])]
        raise DescriptionError(f"{' and '.join(both)} exclude one another", key="coordination_url")
    if names:
        return _named(names, options["session"])
    if options["session"]:
        return [_Service(data_session.join(options["session"]))]
    server = server_named(options["coordination_url"], "--session or names of Pilot-Data")
    return [_Service(data_session.join(session)) for session in _sessions_at(server)]


def _named(names: Iterable[str], session: str) -> list[_Service]:
    """Return what is named, by session."""
    found: dict[str, set[str]] = {}
    sessions: dict[str, DataSession] = {}
    for text in names:
        where, name = _find(text, session)
        sessions[where.id] = where
        found.setdefault(where.id, set()).add(name)
    return [_Service(sessions[key], frozenset(named)) for key, named in found.items()]


def _find(text: str, session: str) -> tuple[DataSession, str]:
    """Return the session and the id of a Pilot-Data, or of a service, which has no bare id here."""
    if "://" in text and kind_named(text) == "pds":
        return find_url("name", text, "pds")
    found = find(text, session, kind="pd")
    return found.session, found.id


def _sessions_at(server: str | None) -> list[str]:
    url = server or SessionConfig.from_environment().coordination_url or ""
    found = sessions_at(url)
    if not found:
        raise StateError(
            f"no session that is known on this machine has Pilot-Data at {coordination_url.parse(url).public()}; make one with "
            "pilot-data create, or copy the session's file from the machine that made it"
        )
    return found
