"""Nothing is sent on a channel after its close. Knows paramiko's insides (versions 4 and 5), as `packetizer` does.

When a host closes a channel, paramiko's thread answers at once, though another thread may have a message for it that is not
sent yet. OpenSSH ends the whole connection for one that comes after the answer: a program that ends by itself, as the one of
an account that may only use SFTP, would take all transfers with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import paramiko
from paramiko.channel import Channel
from paramiko.common import MSG_CHANNEL_CLOSE

_SENDING = "pilot_sending"


class Sending:
    """For the length of a block, in which something is sent on a channel, the answer to its close waits.

    Args:
        channel: paramiko's, of a `Transport`.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._is_sending = False
        self._answer: Callable[[], None] | None = None
        setattr(channel, _SENDING, self)

    def __enter__(self) -> None:
        with self._lock:
            self._is_sending = True

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._is_sending = False
            answer, self._answer = self._answer, None
        if answer is not None:
            answer()

    def hold(self, answer: Callable[[], None]) -> bool:
        """Have the sender give the answer; return whether there is one. It waits no longer for room at the host."""
        with self._lock:
            if not self._is_sending:
                return False
            self._answer = answer
        with self._channel.lock:
            self._channel.eof_sent = True
            self._channel.out_buffer_cv.notify_all()
        return True


def _closed_by_host(channel: Any, message: Any) -> None:
    answer = partial(Channel._handle_close, channel, message)  # noqa: SLF001
    sending: Sending | None = getattr(channel, _SENDING, None)
    if sending is None or not sending.hold(answer):
        answer()


class Transport(paramiko.Transport):  # type: ignore[misc] # paramiko has no types
    """paramiko's, whose channels close as `Sending` wants."""

    _channel_handler_table = {  # noqa: RUF012 - as in paramiko
        **paramiko.Transport._channel_handler_table,  # noqa: SLF001
        MSG_CHANNEL_CLOSE: _closed_by_host,
    }
