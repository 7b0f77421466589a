"""Makes data units: the record, the files that are known, and what is asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from pilot_session.identifiers import new_id

from .catalogue import DataUnitRecord
from .data_session import DataSession
from .data_unit import DataUnit
from .locations import path_begin
from .origins import lots_of, record_of
from .this_machine import this_machine


def make_data_unit(
    session: DataSession, description: dict[str, Any], stores: Sequence[str], owner: str = ""
) -> DataUnit:
    """Make a data unit; its files move in the background, by this process or others.

    Args:
        session: Whose catalogue has it.
        description: As it was validated.
        stores: The Pilot-Data that it is to be at; may be none.
        owner: The compute-data service that it is submitted to; empty if it is none.

    Raises:
        DescriptionError: Two files would have one name.
        TransferError: A file is not there or cannot be read.
        CoordinationError: The catalogue cannot be reached.
    """
    named = description.get("file_urls", [])
    lots = lots_of(named)
    is_local = any(path_begin(text) == 0 or text.lower().startswith("file://") for text in named)
    record = DataUnitRecord(
        new_id("du"),
        {**description, "file_urls": [_from_anywhere(text) for text in named]} if named else description,
        host=this_machine() if is_local else "",
        owner=owner,
    )
    session.catalogue.add_data_unit(record)
    session.catalogue.put_files(record.id, (record_of(item, part=0) for lot in lots for item in lot.items))
    session.stager.ask(record.id, stores, lots)
    return DataUnit.of(session, record.id)


def _from_anywhere(text: str) -> str:
    """Return a path as it is named from other folders; a slash or dot at its end keeps its meaning."""
    if path_begin(text):
        return text
    return os.path.join(os.getcwd(), os.path.expanduser(text))
