"""Checks of the plain arguments of the public calls; those of descriptions are the protocol's. Pure."""

from __future__ import annotations

import math
from numbers import Real

from pilot_protocol.errors import DescriptionError
from pilot_protocol.states import State

LONGEST_S = 10**9
"""31 years. The system cannot wait for much longer than that."""


def seconds(timeout: object) -> float | None:
    """Return a timeout; None for one that is longer than anybody waits.

    Raises:
        DescriptionError: It is neither a number nor None.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, Real) or math.isnan(timeout):
        raise DescriptionError(
            f"timeout is {timeout!r}; a number of seconds is allowed, or None for no end",
            key="timeout",
            value=timeout,
        )
    limit_s = float(timeout)
    return None if limit_s > LONGEST_S else limit_s


def state_named(name: object) -> State:
    """Return a state by its name.

    Raises:
        DescriptionError: There is none of this name.
    """
    try:
        return State(name)
    except ValueError:
        allowed = ", ".join(State)
        raise DescriptionError(f"state is {name!r}; allowed: {allowed}", key="state", value=name) from None
