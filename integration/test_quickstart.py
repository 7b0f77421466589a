"""The example of the README runs as it stands, and the README shows the example that runs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from child_program import run_python
from ports import is_free
from real_redis import running_server

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "examples" / "quickstart.py"
README = (ROOT / "README.md").read_text(encoding="utf-8")
OUTPUT = """\
Finished Pilot-Job setup. Submitting compute units
Waiting for compute units to complete
Terminate Pilot Jobs
"""
PORT = 6379  # the one in the example


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    if not is_free(PORT):
        pytest.skip(f"port {PORT} is in use; the example wants the server of this test there")
    with running_server(tmp_path, PORT) as url:
        yield url


def test_quickstart(server: str, home: Path, environment: dict[str, str]) -> None:
    ended = run_python(QUICKSTART, environment)
    ended.check_clean()
    assert ended.stdout == OUTPUT
    written = sorted(path.read_text() for path in (home / "agent").rglob("stdout.txt"))
    assert written == [f"Hello World I am CU number {number}\n" for number in range(4)]
    assert [path.read_text() for path in (home / "agent").rglob("stderr.txt")] == [""] * 4


def test_quickstart_with_a_password(
    home: Path, environment: dict[str, str], redis_url_with_password: str
) -> None:
    """The same program with the URL of another server, as a user would edit it."""
    program = home / "mine.py"
    program.write_text(QUICKSTART.read_text().replace("redis://localhost:6379", redis_url_with_password))
    ended = run_python(program, environment)
    ended.check_clean()
    assert ended.stdout == OUTPUT


def test_readme_shows_the_quickstart_and_its_output() -> None:
    assert f"```python\n{QUICKSTART.read_text(encoding='utf-8')}```" in README
    assert f"```text\n{OUTPUT}```" in README


def test_commands_of_the_readme_exist() -> None:
    commands = sorted(set(re.findall(r"\btools/run-[a-z]+", README)))
    assert commands == ["tools/run-demo", "tools/run-tests"]
    assert all(os.access(ROOT / command, os.X_OK) for command in commands)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+)", README)) - {""}))
def test_links_of_the_readme_lead_somewhere(target: str) -> None:
    assert target.startswith("https://") or (ROOT / target).exists()


def test_installable_packages_of_the_readme_exist() -> None:
    installed = set(re.findall(r"packages/(pilot-[a-z]+)", README))
    assert installed == {path.name for path in (ROOT / "packages").iterdir() if path.is_dir()}
