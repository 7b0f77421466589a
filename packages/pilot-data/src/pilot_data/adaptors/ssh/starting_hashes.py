"""Starts the program that hashes files at a host while the first of them are on their way."""

from __future__ import annotations

import threading

from .connection import Connection
from .remote_hashes import RemoteHashes, started


class StartingHashes:
    """A program that hashes files, from the moment on that it may be needed.

    Args:
        connection: To its host.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._found: RemoteHashes | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="pilot-data-hash", daemon=True)
        self._thread.start()

    @property
    def is_settled(self) -> bool:
        """Whether `found` has not to wait."""
        return not self._thread.is_alive()

    def found(self) -> RemoteHashes | None:
        """Wait for it; None where no program may be run, or none of ours is there.

        Raises:
            TransferError: The connection is lost.
        """
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found

    def close(self) -> None:
        """End it."""
        self._thread.join()
        if self._found is not None:
            self._found.close()

    def _run(self) -> None:
        try:
            self._found = started(self._connection)
        except Exception as error:  # noqa: BLE001 - raised by `found`
            self._error = error
