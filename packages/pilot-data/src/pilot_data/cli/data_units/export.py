"""The files of a data unit go to a folder anywhere."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import Any

from pilot_data.cli.catalogue_names import allow_only
from pilot_data.cli.copying import carry_out, output_of
from pilot_data.cli.options import access_of, job_of
from pilot_data.locations import parse
from pilot_data.moving import present_at
from pilot_data.origins import lot_of_replica
from pilot_data.plan import make_plan
from pilot_data.registry import open_storage
from pilot_data.replicas import nearest_whole
from pilot_data.sources import Source
from pilot_data.storage import Access
from pilot_data.transfer_legs import Leg, Request

from .found import Found, find, find_one

_OPTIONS = (
    "pilot_data", "only_changed", "dry_run", "profile", "endpoint_url", "region", "identity_file", "ssh_client",
    "bandwidth", "checksum", "durable", "keeps_partial",
)  # fmt: skip


def export(sources: tuple[str, ...], target: str, options: dict[str, Any]) -> int:
    """Copy what has changed, tell of it, and return the exit code.

    Args:
        sources: One data unit.
        target: Folder that gets its files.
        options: Of the command.
    """
    allow_only(_OPTIONS, "a data unit that is copied to a folder")
    found = find_one(sources, options["session"], "a copy to a folder")
    job, output, access = job_of(options), output_of(options), access_of(options).target
    request = Request(
        sources, target, target_access=access, only_changed=True, keeps_partial=options["keeps_partial"]
    )
    with ExitStack() as opened:
        return carry_out(request, job, output, lambda _: [_leg(found, target, access, options, opened)])


def _leg(found: Found, target: str, access: Access, options: dict[str, Any], opened: ExitStack) -> Leg:
    wanted = options["pilot_data"]
    store = nearest_whole(
        found.catalogue, found.unit_record, find(wanted, options["session"], kind="pd").id if wanted else ""
    )
    lot = lot_of_replica(store, found.id, found.catalogue.files(found.id))
    origin = opened.enter_context(closing(lot.open()))
    there = opened.enter_context(closing(open_storage(parse(target, "target"), access)))
    plan = make_plan(lot.items, present_at(there), there.capabilities)
    return Leg(Source(lot.root, text=found.url), origin, there, plan)
