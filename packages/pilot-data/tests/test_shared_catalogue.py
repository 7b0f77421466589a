"""The catalogue in Redis keeps to what every catalogue keeps to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalogue_suite import CatalogueSuite
from local_redis import LocalRedis
from pilot_data.catalogue import Catalogue
from redis_catalogues import new_catalogue


class TestSharedCatalogue(CatalogueSuite):
    @pytest.fixture
    def catalogue(self, redis_server: LocalRedis) -> Iterator[Catalogue]:
        found = new_catalogue(redis_server)
        yield found
        found.close()
