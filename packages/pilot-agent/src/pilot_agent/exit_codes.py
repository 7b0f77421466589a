"""Exit codes of the agent's processes, as the supervisor and the client read them."""

from __future__ import annotations

ENDED = 0
"""The pilot ended as it should: stopped, or at its walltime."""
REFUSED = 3
"""It cannot work, and a new start would not help: wrong settings, wrong password, another protocol version."""
PILOT_ENDED = 4
"""The pilot was ended by somebody else, for instance after its lease."""
RESTARTS_USED_UP = 5
"""The head died too often."""
PYTHON_TOO_OLD = 6
"""Python is older than 3.9; `__main__` says it, since such a Python cannot read this file."""

FINAL_CODES = frozenset({ENDED, REFUSED, PILOT_ENDED})
"""A head that ends with one of these is not started again."""
