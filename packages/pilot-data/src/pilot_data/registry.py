"""Which adaptor serves a scheme. Ours are named here; those of others by the entry point group ``pilot_data.adaptors``.

An entry point's name is the scheme, its value a `Storage` class. Adaptors are imported when a location first needs them.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from pilot_protocol.checks import suggestion
from pilot_protocol.errors import DescriptionError

from .locations import Location
from .storage import Access, Storage

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "pilot_data.adaptors"

_OURS = {
    "file": ("pilot_data.adaptors.file", "FileStorage"),
    "globus": ("pilot_data.adaptors.globus.storage", "GlobusStorage"),
    "s3": ("pilot_data.adaptors.s3.storage", "S3Storage"),
    "ssh": ("pilot_data.adaptors.ssh.storage", "SshStorage"),
}


def schemes() -> list[str]:
    """Return the schemes that have an adaptor, sorted."""
    return sorted({*_OURS, *(point.name for point in _points())})


def open_storage(location: Location, access: Access | None = None) -> Storage:
    """Return the storage at a location; nothing is connected yet.

    Args:
        location: Its root.
        access: How to enter; the user's defaults by default.

    Raises:
        DescriptionError: No adaptor has this scheme.
        TransferError: The adaptor's library is missing, or the location is none of its.
    """
    return _adaptor(location.scheme)(location, access or Access())


def _adaptor(scheme: str) -> type[Storage]:
    ours = _OURS.get(scheme)
    if ours is not None:
        module, name = ours
        found: type[Storage] = getattr(import_module(module), name)
        return found
    for point in _points():
        if point.name == scheme:
            loaded: type[Storage] = point.load()
            return loaded
    raise DescriptionError(
        f"no adaptor serves {scheme}://; {suggestion(scheme, schemes())}", key="url", value=scheme
    )


def _points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)
