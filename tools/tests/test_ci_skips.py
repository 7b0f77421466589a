"""In CI a missing server is a failure; on a developer's machine it is a skip. Other skips stay skips."""

from pathlib import Path

import pytest

from pytest_inside import run_pytest

BY_CALL = 'import pytest\ndef test_x(): pytest.skip("{reason}")\n'
BY_MARK = 'import pytest\n@pytest.mark.skip(reason="{reason}")\ndef test_x(): pass\n'
OF_MODULE = 'import pytest\npytest.skip("{reason}", allow_module_level=True)\n'

every_way = pytest.mark.parametrize("way", [BY_CALL, BY_MARK, OF_MODULE])


def run(folder: Path, test: str, *, ci: str) -> str:
    (folder / "test_x.py").write_text(test)
    return run_pytest(folder, ci=ci)


@every_way
def test_a_missing_server_fails_in_ci(tmp_path: Path, way: str) -> None:
    printed = run(tmp_path, way.format(reason="no server: redis-server is not installed"), ci="true")
    assert "1 failed" in printed or "1 error" in printed
    assert "no server: redis-server is not installed" in printed
    assert "must be installed, not skipped" in printed


@every_way
def test_a_missing_server_is_a_skip_elsewhere(tmp_path: Path, way: str) -> None:
    printed = run(tmp_path, way.format(reason="no server: redis-server is not installed"), ci="")
    assert "1 skipped" in printed
    assert "failed" not in printed


@every_way
def test_another_skip_stays_one_in_ci(tmp_path: Path, way: str) -> None:
    printed = run(tmp_path, way.format(reason="needs two sockets"), ci="true")
    assert "1 skipped" in printed
    assert "failed" not in printed
