"""Which tests stay together when several run at once, and that all of them run."""

from pathlib import Path

import pytest

from pytest_inside import run_pytest
from side_by_side import group, order

SIDE_BY_SIDE = ("-p", "xdist", "-p", "side_by_side", "--numprocesses=2")


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("packages/pilot-agent/tests/test_slots.py::test_a[1-2]", "packages/pilot-agent/tests/test_slots.py"),
        ("packages/pilot-client/tests/test_ssh.py::test_a[ssh]", "packages/pilot-client/tests/test_ssh.py"),
        ("integration/test_docs.py::test_a", "integration/test_docs.py"),
        ("integration/test_x.py::test_a[slurm]", "integration/test_x.py[slurm"),
        ("integration/test_x.py::test_b[slurm-wrong queue]", "integration/test_x.py[slurm"),
        ("integration/test_x.py::test_a[slurm+ssh]", "integration/test_x.py[slurm+ssh"),
        ("integration/test_x.py::test_a[sge+ssh]", "integration/test_x.py[sge+ssh"),
        ("integration/test_saga_slurm.py::TestQueue::test_a", "integration/test_saga_slurm.py"),
    ],
)
def test_tests_stay_with_what_they_share(test: str, expected: str) -> None:
    assert group(test) == expected


def test_the_longest_groups_start_first() -> None:
    tests = [
        "packages/pilot-agent/tests/test_slots.py::test_a",
        "packages/pilot-client/tests/test_store.py::test_a",
        "integration/test_docs.py::test_a",
        "integration/test_pilot_endings.py::test_a",
    ]
    assert sorted(tests, key=order) == tests[::-1]


def test_all_tests_run_and_files_stay_whole(tmp_path: Path) -> None:
    note = "open(__file__ + '.pids', 'a').write(f'{os.getpid()} ')"
    text = f"import os, pytest\n@pytest.mark.parametrize('n', range(5))\ndef test_x(n): {note}\n"
    for name in "abcd":
        (tmp_path / f"test_{name}.py").write_text(text)
    assert "20 passed" in run_pytest(tmp_path, *SIDE_BY_SIDE, ci="")
    processes = [set(path.read_text().split()) for path in tmp_path.glob("*.pids")]
    assert [len(of_file) for of_file in processes] == [1] * 4
    assert len(set.union(*processes)) == 2


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 failed"), ("", "1 skipped")])
def test_missing_servers_are_seen_in_every_process(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "test_x.py").write_text("import pytest\ndef test_x(): pytest.skip('no server: x')\n")
    assert outcome in run_pytest(tmp_path, *SIDE_BY_SIDE, ci=ci)
