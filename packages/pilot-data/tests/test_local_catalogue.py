"""The catalogue of a process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from catalogue_suite import DU, ME, PD, YOU, CatalogueSuite
from pilot_data.catalogue import LEASE_S, Catalogue, DataUnitRecord
from pilot_data.local_catalogue import LocalCatalogue


class TestLocalCatalogue(CatalogueSuite):
    @pytest.fixture
    def catalogue(self) -> Catalogue:
        return LocalCatalogue()

    def test_a_lease_runs_out(
        self, catalogue: Catalogue, unit: Callable[[], DataUnitRecord], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1000.0
        monkeypatch.setattr("pilot_data.local_catalogue.time.monotonic", lambda: now)
        catalogue.claim(DU, PD, ME, 1)
        now += LEASE_S - 1
        assert catalogue.renew(DU, PD, ME, 1)
        now += LEASE_S - 1
        assert not catalogue.claim(DU, PD, YOU, 1).granted
        now += 1
        assert catalogue.claim(DU, PD, YOU, 1).granted
        assert not catalogue.renew(DU, PD, ME, 1)
        catalogue.close()
