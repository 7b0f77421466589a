"""Catalogues in sessions of their own on a server for tests."""

from __future__ import annotations

import secrets

from local_redis import LocalRedis
from pilot_data.redis_catalogue import RedisCatalogue
from pilot_protocol.keys import Keys
from pilot_protocol.pilot_ops import open_session
from pilot_protocol.signing import KEY_BYTES
from pilot_protocol.version import PROTOCOL
from pilot_session import coordination_url
from pilot_session.identifiers import new_id
from pilot_session.redis_link import RedisLink


def new_catalogue(server: LocalRedis) -> RedisCatalogue:
    """Return the catalogue of a new session."""
    url, session = coordination_url.parse(server.url), new_id("s")
    link = RedisLink(url)
    link.run(open_session(Keys(session), PROTOCOL, 30_000))
    link.close()
    return RedisCatalogue(url, session, secrets.token_bytes(KEY_BYTES))
