"""Local paths and what the system says of them: joined so that nothing leads out of a folder, errors told as ours."""

from __future__ import annotations

import errno
import os

from .errors import AccessDeniedError, MissingFileError, NoSpaceError, TransferError

_KINDS: dict[int, type[TransferError]] = {
    errno.ENOENT: MissingFileError,
    errno.ENOTDIR: MissingFileError,
    errno.EACCES: AccessDeniedError,
    errno.EPERM: AccessDeniedError,
    errno.EROFS: AccessDeniedError,
    errno.ENOSPC: NoSpaceError,
    errno.EDQUOT: NoSpaceError,
    errno.EFBIG: NoSpaceError,
}
_NO_NAMES = frozenset({"", ".", ".."})


def below(root: str, path: str) -> str:
    """Return the absolute path of a file below a folder.

    Args:
        root: Absolute.
        path: Relative, as a storage or a manifest names it: nothing that can be trusted.

    Raises:
        TransferError: The path leads elsewhere.
    """
    if "\0" in path or not _NO_NAMES.isdisjoint(path.split("/")):
        raise TransferError(f"{path!r} is no name of a file below a folder; rename it at its source")
    return f"{root.rstrip('/')}/{path}"


def translated(error: OSError, what: str) -> TransferError:
    """Return what the system's error means.

    Args:
        error: Of the system.
        what: What failed, for example ``cannot write /data/x``.
    """
    kind = _KINDS.get(error.errno or 0, TransferError)
    return kind(f"{what}: {os.strerror(error.errno) if error.errno else error}")


def make_parents(path: str) -> None:
    """Make the folders above a file.

    Raises:
        OSError: One cannot be made.
    """
    os.makedirs(os.path.dirname(path), exist_ok=True)
