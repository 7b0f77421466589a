"""Looking around for a batch job: real files, real commands, and batch systems that do not answer."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

import recorded_jobs as jobs
from pilot_agent.lrms import detect
from pilot_agent.lrms.allocation import NodeShare
from pilot_agent.lrms.detect import find_allocation, own_names


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(bin_folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment whose batch system's commands are those in `bin_folder`."""
    path = f"{bin_folder}:{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    return {"PATH": path}


def command(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_no_batch_job_is_found_where_there_is_none(environment: dict[str, str]) -> None:
    assert find_allocation(0.0, environment) is None


def test_the_command_is_asked_in_plain_words(environment: dict[str, str], bin_folder: Path) -> None:
    command(bin_folder, "squeue", 'echo "$@ $LC_ALL" > "$0.asked"; echo 10:00')
    found = find_allocation(0.0, {**environment, **jobs.SLURM, "LC_ALL": "de_DE.UTF-8"})
    assert found is not None
    assert found.end_s == pytest.approx(time.time() + 600, abs=60)
    assert (bin_folder / "squeue.asked").read_text() == "-h -j 7 -o %L C\n"


def test_files_that_variables_name_are_read(
    environment: dict[str, str], bin_folder: Path, tmp_path: Path
) -> None:
    command(bin_folder, "qstat", "exit 1")
    hosts = tmp_path / "pe_hostfile"
    hosts.write_text(jobs.SGE_HOSTS)
    found = find_allocation(0.0, {**environment, **jobs.SGE, "PE_HOSTFILE": str(hosts)})
    assert found is not None
    assert [(share.name, share.cores) for share in found.nodes] == [("node1", 3), ("node2", 2)]


@pytest.mark.parametrize("script", ["exit 1", "exec sleep 600", ""])
def test_a_batch_system_that_does_not_answer_leaves_the_end_open(
    environment: dict[str, str],
    bin_folder: Path,
    script: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detect, "COMMAND_LIMIT_S", 1.0)
    command(bin_folder, "squeue", script)
    found = find_allocation(0.0, {**environment, **jobs.SLURM})
    assert found is not None
    assert (found.job, found.end_s) == ("7", None)


def test_commands_and_files_that_are_not_there_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = find_allocation(0.0, {**jobs.SGE, "PE_HOSTFILE": str(tmp_path / "none"), "PATH": str(tmp_path)})
    assert found is not None
    assert found.nodes == (NodeShare("node1", 5, ("0", "2")),)
    assert "the end of the job stays unknown: qstat: " in caplog.text
    assert f"{tmp_path}/none: No such file or directory" in caplog.text


def test_an_environment_that_makes_no_sense_is_no_batch_job(
    environment: dict[str, str], bin_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command(bin_folder, "squeue", "echo 1:00")
    with caplog.at_level(logging.ERROR):
        assert find_allocation(0.0, {**environment, **jobs.SLURM, "SLURM_JOB_NODELIST": "n[1-"}) is None
    assert "'n[1-' is no list of hosts" in caplog.text


def test_slurm_has_names_of_its_own_for_nodes() -> None:
    assert own_names("host7", jobs.SLURM) == ("node1", "host7")
    assert own_names("host7", {}) == ("host7",)
