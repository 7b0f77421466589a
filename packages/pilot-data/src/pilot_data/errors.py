"""What can go wrong with files on their way. All are `TransferError`, and say by `transient` whether trying again may help."""

from __future__ import annotations

from pilot_protocol.errors import TransferError


class MissingFileError(TransferError):
    """A file, folder, bucket or collection is not there."""


class AccessDeniedError(TransferError):
    """The storage knows who asks, and does not allow it."""


class LoginError(TransferError):
    """The storage does not accept who asks, or is not the one that it should be (its host key is another)."""


class NoSpaceError(TransferError):
    """The storage is full, or a quota or the size of a Pilot-Data is used up."""


class ChecksumError(TransferError):
    """What arrived is not what was sent; nothing of it was kept under the file's name."""

    transient = True


class ChangedSourceError(TransferError):
    """A file changed while it was read, or is not the one any more that a data unit was made of."""


class ConnectionLostError(TransferError):
    """The storage cannot be reached, or stopped to answer; what had landed stays."""

    transient = True


class BusyError(TransferError):
    """The storage asks to come back later, or to ask less often."""

    transient = True


class CanceledError(TransferError):
    """The transfer was canceled."""


class StaleAttemptError(TransferError):
    """The catalogue's server takes the attempt of a compute unit that has left files for nobody's, or for another pilot's."""


STORAGE_WIDE = (LoginError, NoSpaceError, ConnectionLostError, CanceledError)
"""Errors of a storage as a whole: what fails one file so fails the next, too."""

__all__ = [
    "STORAGE_WIDE",
    "AccessDeniedError",
    "BusyError",
    "CanceledError",
    "ChangedSourceError",
    "ChecksumError",
    "ConnectionLostError",
    "LoginError",
    "MissingFileError",
    "NoSpaceError",
    "StaleAttemptError",
    "TransferError",
]
