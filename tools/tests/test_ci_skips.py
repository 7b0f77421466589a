"""In CI a missing server is a failure; on a developer's machine it is a skip. Other skips stay skips."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[1]

BY_CALL = 'import pytest\ndef test_x(): pytest.skip("{reason}")\n'
BY_MARK = 'import pytest\n@pytest.mark.skip(reason="{reason}")\ndef test_x(): pass\n'
OF_MODULE = 'import pytest\npytest.skip("{reason}", allow_module_level=True)\n'

every_way = pytest.mark.parametrize("way", [BY_CALL, BY_MARK, OF_MODULE])


def run_pytest(folder: Path, test: str, *, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_x.py").write_text(test)
    plugins = ["-p", "no:cacheprovider", "-p", "no:randomly", "-p", "ci_skips"]
    environment = {**os.environ, "CI": ci, "PYTHONPATH": str(TOOLS)}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@every_way
def test_a_missing_server_fails_in_ci(tmp_path: Path, way: str) -> None:
    done = run_pytest(tmp_path, way.format(reason="no server: redis-server is not installed"), ci="true")
    assert done.returncode != 0
    assert "no server: redis-server is not installed" in done.stdout
    assert "must be installed, not skipped" in done.stdout


@every_way
def test_a_missing_server_is_a_skip_elsewhere(tmp_path: Path, way: str) -> None:
    done = run_pytest(tmp_path, way.format(reason="no server: redis-server is not installed"), ci="")
    assert "1 skipped" in done.stdout
    assert "failed" not in done.stdout


@every_way
def test_another_skip_stays_one_in_ci(tmp_path: Path, way: str) -> None:
    done = run_pytest(tmp_path, way.format(reason="needs two sockets"), ci="true")
    assert "1 skipped" in done.stdout
    assert "failed" not in done.stdout
