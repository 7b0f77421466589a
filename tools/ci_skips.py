"""A pytest plugin for all tests of the repository: in CI no test may be skipped because its server is missing."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

MISSING_SERVER = "Skipped: no server:"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test in CI that would be skipped for a missing server."""
    report = yield
    _forbid_missing_server(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a whole module in CI that would be skipped for a missing server."""
    report = yield
    _forbid_missing_server(report)
    return report


def _forbid_missing_server(report: pytest.TestReport | pytest.CollectReport) -> None:
    # A skip is reported as (file, line, "Skipped: <reason>").
    if os.environ.get("CI") != "true" or not report.skipped or not isinstance(report.longrepr, tuple):
        return
    file, line, reason = report.longrepr
    if reason.startswith(MISSING_SERVER):
        report.outcome = "failed"
        report.longrepr = (
            f"{file}:{line}: {reason}\nCI=true: what a test needs must be installed, not skipped"
        )
