"""The Redis server that an option or the environment names."""

from __future__ import annotations

from pilot_protocol.errors import DescriptionError
from pilot_session import coordination_url
from pilot_session.config import SessionConfig


def server_named(given: str, others: str) -> str | None:
    """Return the server that was named; None for that of the environment.

    Args:
        given: The value of ``--coordination-url``.
        others: What may be given instead, for the error.

    Raises:
        DescriptionError: None is named, or with a password.
    """
    if not given and not SessionConfig.from_environment().coordination_url:
        raise DescriptionError(
            f"the catalogue has no place: give --coordination-url redis://host, {others}, or set PILOT_COORDINATION_URL",
            key="coordination_url",
        )
    if given and coordination_url.parse(given).password:
        raise DescriptionError(
            "--coordination-url has a password, which others can read in the list of processes; set "
            "PILOT_COORDINATION_URL instead",
            key="coordination_url",
        )
    return given or None
