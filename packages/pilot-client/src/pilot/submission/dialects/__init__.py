"""How batch systems speak: one module each, found by the scheme of the ``service_url``."""

from __future__ import annotations

from collections.abc import Mapping

from .condor import CONDOR
from .dialect import Dialect
from .lsf import LSF
from .pbs_choice import choose_pbs
from .pbspro import PBSPRO
from .torque import TORQUE, XT5TORQUE

__all__ = ["DIALECTS", "Dialect", "choose_pbs"]

DIALECTS: Mapping[str, Dialect] = {
    "condor": CONDOR,
    "lsf": LSF,
    "pbspro": PBSPRO,
    "torque": TORQUE,
    "xt5torque": XT5TORQUE,
}
