"""Brings the inputs of a compute unit into its folder: linked where this machine sees them, else fetched to the cache."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from pilot_data import markers
from pilot_data.catalogue import DataUnitRecord, PilotDataRecord, unit_in
from pilot_data.job import Job
from pilot_data.replicas import whole_at
from pilot_protocol.data_records import FileRecord
from pilot_protocol.errors import StateError, TransferError
from pilot_protocol.states import is_final

from .choosing import check_apart, chosen, with_led_to
from .fetching import fetch
from .file_transfers import incoming
from .links import link_all
from .messages import Request, data_unit_id
from .nearness import distance
from .node import Node

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Input:
    """Files of one data unit that a compute unit gets.

    Attributes:
        unit: The data unit.
        files: That go into the folder.
        needed: These, and those that links among them lead to.
        stores: Pilot-Data that have it whole, the nearest first.
        root: Where this machine sees them all; empty if it does not.
    """

    unit: DataUnitRecord
    files: Sequence[FileRecord]
    needed: Sequence[FileRecord]
    stores: Sequence[PilotDataRecord]
    root: str


def stage_in(node: Node, request: Request, job: Job) -> int:
    """Bring everything, and return how many files were linked.

    Args:
        node: This machine.
        request: What is wanted.
        job: Is told how many bytes have moved.

    Raises:
        PilotError: The unit cannot begin; what was pinned for it is released.
    """
    inputs = [_input(node, name, patterns) for name, patterns in request.data.items()]
    check_apart({one.unit.id: one.files for one in inputs})
    fetched = [one.unit.id for one in inputs if not one.root]
    if fetched:
        node.cache.pin(request.unit, request.attempt, fetched)
    try:
        linked = sum(link_all(request.folder, _root(node, one, job), one.files) for one in inputs)
        for text in request.transfers:
            incoming(text, request.folder, node.settings.sandbox, job)
        job.check()  # who is canceled may have been released before it was pinned
    except BaseException:
        if fetched:
            node.cache.release(request.unit, request.attempt)
        raise
    return linked


def _input(node: Node, name: str, patterns: Sequence[str]) -> Input:
    unit = unit_in(node.catalogue, data_unit_id(name, node.settings.session))
    stores = sorted(
        map(node.store, whole_at(unit)), key=lambda store: (distance(store, node.label), store.id)
    )
    if is_final(unit.state) or not stores:
        raise StateError(f"data unit {unit.id} is {unit.state}, and no Pilot-Data has it whole")
    every = node.catalogue.files(unit.id)
    files = chosen(unit.id, every, patterns)
    needed = with_led_to(every, files)
    return Input(unit, files, needed, stores, _seen(unit.id, needed, stores))


def _seen(data_unit: str, files: Sequence[FileRecord], stores: Sequence[PilotDataRecord]) -> str:
    """Return a folder of a replica that this machine sees with all these files; empty if there is none."""
    for store in stores:
        folder = markers.folder_here(store)
        root = f"{folder}/{data_unit}"
        if folder and all(_is_there(f"{root}/{file.path}", file) for file in files):
            return root
        if folder:
            logger.warning("replica.damaged %s lacks files of %s", folder, data_unit,
                           extra={"action": "replica.damaged"})  # fmt: skip
    return ""


def _is_there(path: str, file: FileRecord) -> bool:
    if file.link or file.is_folder:
        return os.path.lexists(path)
    try:
        return os.stat(path).st_size == file.size
    except OSError:  # gone, or not for us: there may be another replica
        return False


def _root(node: Node, one: Input, job: Job) -> str:
    """Return where the files of an input are, when they are there."""
    if one.root:
        return one.root
    readable = [store for store in one.stores if markers.is_here(store)]
    if not readable:
        names = ", ".join(store.id for store in one.stores)
        raise TransferError(
            f"this machine cannot read data unit {one.unit.id}: it is only in folders of other machines ({names}); give "
            "it a replica at a Pilot-Data that is reached from here"
        )
    own = replace(job, checksum=one.unit.description.get("checksum", "sha256"))
    bring = partial(fetch, one.unit.id, readable, own)
    return node.cache.provide(one.unit.id, one.needed, bring, own)
