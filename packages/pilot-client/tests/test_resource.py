"""What is closed with a resource, and with an instance as a place."""

from __future__ import annotations

import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pilot.submission.ec2.place import InstancePlace
from pilot.submission.local_place import LocalPlace
from pilot.submission.queue import Job, JobState
from pilot.submission.resource import Resource
from pilot.submission.ssh.target import SshOptions, SshTarget

LIMIT_S = 30.0


class SlowQueue:
    """A queue that answers no question before it is closed."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.closed = threading.Event()

    def submit(self, job: Job) -> str:
        raise NotImplementedError(job)

    def states(self, jobs: Sequence[str]) -> Mapping[str, JobState]:
        self.asked.set()
        assert self.closed.wait(LIMIT_S)
        return {}

    def cancel(self, jobs: Sequence[str]) -> None:
        raise NotImplementedError(jobs)

    def close(self) -> None:
        self.closed.set()


def test_a_question_without_an_answer_does_not_hold_up_the_close() -> None:
    queue = SlowQueue()
    resource = Resource("slurm://localhost", LocalPlace(), queue, None)
    resource.watch.add("7", lambda _: None)
    assert queue.asked.wait(LIMIT_S)
    closing = threading.Thread(target=resource.close)
    closing.start()
    closing.join(LIMIT_S / 2)
    assert not closing.is_alive()


def test_what_was_opened_by_way_of_an_instance_is_closed_once_and_before_it() -> None:
    place = InstancePlace(SshTarget("203.0.113.7"), SshOptions(), "/key.pem")
    closed: list[str] = []

    def close() -> None:
        closed.append("tunnel")
        place.close()  # as a resource does

    place.close_first(close)
    place.close()
    place.close()
    assert closed == ["tunnel"]


def test_ssh_finds_a_key_file_of_any_name_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place = InstancePlace(SshTarget("203.0.113.7"), SshOptions(config_file="none"), f"{tmp_path}/my 50%x.pem")
    command = [*place.connection._options.base, "-v", "-o", "ProxyCommand=true", "203.0.113.7"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False).stderr
    assert f"identity file {tmp_path}/my 50%x.pem type" in said
    (folder,) = tmp_path.iterdir()
    (folder / "known_hosts.old").touch()
    place.close()
    assert list(tmp_path.iterdir()) == []
