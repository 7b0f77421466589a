"""The data of a unit on its way in: which files move, and in which folder it runs, which has to be known before it does.

Pure: the environment comes in as an argument.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from typing import Any

from pilot_protocol.compute_descriptions import UnitSpec
from pilot_protocol.errors import ProtocolError

from .expansion import expand_path, extend_environment
from .spawn.markers import ATTEMPT, SANDBOX
from .spawn.process_tree import MARKER
from .unit_data import UnitData

_CORES = "PILOT_UNIT_CORES"


def data_of(
    spec: UnitSpec, order: Mapping[str, Any], sandbox: str, environment: Mapping[str, str]
) -> UnitData | None:
    """Return what is moved for a unit; None for a unit without data.

    Args:
        spec: Its description.
        order: What its executor is told.
        sandbox: The pilot's folder, absolute.
        environment: What units inherit.

    Raises:
        ProtocolError: Its folder cannot be known before it has cores.
    """
    if not (spec.input_data or spec.output_data or spec.file_transfer):
        return None
    return UnitData(
        _folder(order, sandbox, environment),
        spec.input_data,
        [transfer for transfer in spec.file_transfer if ">" in transfer],
        spec.output_data,
        [transfer for transfer in spec.file_transfer if "<" in transfer],
        spec.keep_failed_outputs,
    )


def _folder(order: Mapping[str, Any], sandbox: str, environment: Mapping[str, str]) -> str:
    """Return where the unit runs: in a folder of its own unless its description names one."""
    written = order["cwd"]
    if not written:
        return str(order["sandbox"])
    if order["expand"]:
        written = expand_path(written, _unit_environment(order, sandbox, environment))
    if _CORES in written:
        raise ProtocolError(
            f"the working_directory {order['cwd']!r} of compute unit {order['id']} names {_CORES}, which is not known yet "
            "when its data is moved; leave that out"
        )
    return os.path.normpath(os.path.join(sandbox, written))


def _unit_environment(
    order: Mapping[str, Any], sandbox: str, environment: Mapping[str, str]
) -> Mapping[str, str]:
    """Return what the executor will find, but for the cores."""
    own = {SANDBOX: sandbox, MARKER: order["id"], ATTEMPT: str(order["attempt"])}
    return {**extend_environment({**environment, **own}, order["env"]), **own}
