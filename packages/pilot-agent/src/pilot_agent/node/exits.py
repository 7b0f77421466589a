"""Exit codes of an executor that is not on the head's node, and of its warden. Others mean that it was killed, or failed."""

from __future__ import annotations

TOLD = 0
"""The head said that it is over."""
CANNOT = 7
"""The node is of no use: it does not see the pilot's folder, or there is no head."""
LINK_LOST = 8
"""The connection to the head ended. All units are dead; the head may still be there, and take the node back."""
ENDED_TOO_OFTEN = 9

FINAL_CODES = frozenset({TOLD, CANNOT})
"""An executor that ends with one of these is not started again."""
