"""An empty file in the folder of a Pilot-Data, by which a machine that sees the folder knows it again.

A path alone says nothing: another machine may have another folder of that name. Only what has paths of the file system is
marked: folders of a machine, and those that are entered by SSH.
"""

from __future__ import annotations

import os

from .catalogue import PilotDataRecord
from .entries import MARKER_PREFIX, Entry, Item
from .job import Job
from .locations import ROOTED
from .moving import first_error
from .replicas import place_of
from .spools import spool_folder
from .storage import Storage


def name_of(pilot_data: str) -> str:
    """Return the name of the marker of a Pilot-Data.

    Args:
        pilot_data: Its id, ``pd-…``.
    """
    return f"{MARKER_PREFIX}{pilot_data.removeprefix('pd-')}"


def put(storage: Storage, pilot_data: str) -> None:
    """Mark the root of a Pilot-Data, if its storage is one of folders; makes the root if there is none.

    Args:
        storage: The root.
        pilot_data: Its id.

    Raises:
        TransferError: Nothing can be put there.
    """
    if storage.location.scheme not in ROOTED:
        return
    name = name_of(pilot_data)
    with spool_folder() as spool:
        open(f"{spool}/{name}", "xb").close()
        error = first_error(storage.put_many(spool, [Item(Entry(name), name)], Job()))
    if error is not None:
        raise error


def remove(storage: Storage, pilot_data: str) -> None:
    """Remove the marker of a Pilot-Data; none there is no error.

    Raises:
        TransferError: The storage cannot be reached.
    """
    if storage.location.scheme in ROOTED:
        storage.remove_many([name_of(pilot_data)])


def folder_here(record: PilotDataRecord) -> str:
    """Return the folder of a Pilot-Data as this machine sees it, absolute; empty if it does not."""
    location = place_of(record, "")
    if location.scheme not in ROOTED:
        return ""
    folder = os.path.expanduser(location.path)
    return folder if os.path.lexists(f"{folder}/{name_of(record.id)}") else ""


def is_here(record: PilotDataRecord) -> bool:
    """Return whether this machine can enter a Pilot-Data: ``file:`` means a folder of one machine, others are reached."""
    return place_of(record, "").scheme != "file" or bool(folder_here(record))
