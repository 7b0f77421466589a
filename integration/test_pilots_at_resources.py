"""Pilots at real resources: the same programs, another ``service_url``."""

from __future__ import annotations

import pytest

from child_program import home_environment, run_python
from resource_bench import only
from resources import SYSTEMS, TestResource
from test_quickstart import OUTPUT, QUICKSTART

pytestmark = [pytest.mark.timeout(180), only(*SYSTEMS)]


def test_the_example_runs_with_only_its_service_url_changed(resource: TestResource, redis_url: str) -> None:
    text = QUICKSTART.read_text(encoding="utf-8")
    program = resource.home / "mine.py"
    program.write_text(
        text.replace("fork://localhost", resource.service_url).replace("redis://localhost:6379", redis_url)
    )
    ended = run_python(program, home_environment(resource.home, **resource.variables))
    ended.check_clean()
    assert ended.stdout == OUTPUT
    written = sorted(path.read_text() for path in (resource.home / "agent").rglob("stdout.txt"))
    assert written == [f"Hello World I am CU number {number}\n" for number in range(4)]
