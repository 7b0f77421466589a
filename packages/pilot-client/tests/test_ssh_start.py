"""OpenSSH's client on a machine that has no room for it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pilot.submission.ssh.master import Master, start_master, users_master
from pilot.submission.ssh.session import Session
from pilot.submission.ssh.target import SshOptions, SshTarget
from pilot_protocol.errors import SubmissionError


@pytest.mark.parametrize("what", ["command", "login", "question", "control"])
def test_a_client_that_cannot_be_started_now_is_a_trouble_that_may_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    options, target = SshOptions(socket_folder=tmp_path), SshTarget("host")
    actions: dict[str, Callable[[], object]] = {
        "command": lambda: Session("host", "true", b"", 1.0).run(["ssh"]),
        "login": lambda: start_master(options, target),
        "question": lambda: users_master(options, target),
        "control": lambda: Master(options, target, f"{tmp_path}/s").control("check"),
    }
    monkeypatch.setattr(shutil, "which", str)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(
        SubmissionError, match="ssh cannot be started here: Resource temporarily unavail"
    ) as caught:
        actions[what]()
    assert caught.value.transient
    assert list(tmp_path.iterdir()) == []
