"""Where the files of a replica come from, for one who has not looked that up before: what its description names."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pilot_protocol.data_records import FileRecord

from .catalogue import Catalogue
from .entries import Entry
from .errors import TransferError
from .origins import Lot, lots_of, record_of

logger = logging.getLogger(__name__)


def lots_left(catalogue: Catalogue, data_unit: str, present: dict[str, Entry]) -> Sequence[Lot]:
    """Return where the files come from that a replica still lacks: from what the description names.

    Files that were being added when their maker ended are named nowhere: those that have not arrived are forgotten. What
    the description names is listed again if any of it is missing, since it may have changed meanwhile.

    Args:
        catalogue: Knows the files, and is told what has become of them.
        data_unit: Their data unit.
        present: What has arrived, by path.

    Raises:
        DescriptionError: The description names two files of the same name.
        TransferError: What it names is not there any more, or cannot be read from this machine.
    """
    missing = [
        file for file in catalogue.files(data_unit) if not _is_there(file.size, present.get(file.path))
    ]
    added = [file.path for file in missing if file.part > 0]
    if added:
        logger.warning("files.forgotten %s: %s were being added by a process that has ended; add them again",
                       data_unit, added, extra={"action": "files.forgotten"})  # fmt: skip
        catalogue.remove_files(data_unit, added)
    if len(added) == len(missing):
        return []
    unit = catalogue.data_unit(data_unit)
    lots = lots_of(unit.description.get("file_urls", []) if unit is not None else [])
    fresh = [record_of(item, part=0) for lot in lots for item in lot.items]
    _check_all(data_unit, missing, {*added, *(file.path for file in fresh)})
    catalogue.put_files(data_unit, fresh)
    return lots


def _check_all(data_unit: str, missing: Sequence[FileRecord], found: set[str]) -> None:
    lost = [file.path for file in missing if file.path not in found and not (file.link or file.is_folder)]
    if lost:
        raise TransferError(
            f"no Pilot-Data has data unit {data_unit} whole, to copy it from there; {len(lost)} of its files are not among "
            f"what its description names, like {lost[0]!r}"
        )


def _is_there(size: int, entry: Entry | None) -> bool:
    return entry is not None and (entry.size == size or bool(entry.link) or entry.is_folder)
