"""Calls to the Transfer service, each as a whole: opened when first needed, errors told as ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import globus_sdk
from globus_sdk.transport import RetryConfig

from .config import settings
from .credentials import authorizer
from .globus_errors import translated

T = TypeVar("T")


@dataclass(frozen=True)
class Pauses:
    """How long to wait, seconds.

    Attributes:
        first_s: Before a task is asked for the second time; grows from there.
        longest_s: Between two questions.
        retry_s: The longest before a call that failed is tried again, whatever Globus asks for.
    """

    first_s: float = 0.1
    longest_s: float = 10.0
    retry_s: float = 10.0


class Connection:
    """The Transfer service, as one user.

    Args:
        profile: Name of the login; empty for the default one.
        pauses: How long to wait.
    """

    def __init__(self, profile: str, pauses: Pauses) -> None:
        self.pauses = pauses
        self._profile = profile
        self._client: globus_sdk.TransferClient | None = None

    def call(self, what: str, ask: Callable[[globus_sdk.TransferClient], T]) -> T:
        """Return the answer.

        Args:
            what: What has failed if it fails, for errors.
            ask: Makes the call.

        Raises:
            TransferError: It fails; the SDK has tried again where that may help.
        """
        try:
            if self._client is None:
                self._client = self._open()
            return ask(self._client)
        except globus_sdk.GlobusError as error:
            raise translated(error, what) from None

    def close(self) -> None:
        """Let go; another call opens anew."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _open(self) -> globus_sdk.TransferClient:
        found = authorizer(self._profile, settings(), self._retries())
        return globus_sdk.TransferClient(authorizer=found, retry_config=self._retries())

    def _retries(self) -> RetryConfig:
        return RetryConfig(max_sleep=self.pauses.retry_s)  # a client makes it its own
