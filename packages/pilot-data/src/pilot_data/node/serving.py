"""Makes replicas near the pilot that are asked for, so that data come to compute when nobody else serves."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from pilot_data.catalogue import PilotDataRecord
from pilot_protocol.errors import PilotError

from .nearness import is_near
from .node import Node

if TYPE_CHECKING:
    from pilot_data.stager import Stager

logger = logging.getLogger(__name__)


class Serving:
    """The stager of a mover.

    Args:
        node: This machine.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stager: Stager | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, in the background."""
        self._thread = threading.Thread(target=self._begin, name="serving", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """Hand back what is not made yet; after a while its leases pass by themselves.

        Args:
            timeout_s: How long that may take, in seconds.
        """
        ending = threading.Thread(target=self._end, name="end of serving", daemon=True)
        ending.start()
        ending.join(timeout_s)

    def _begin(self) -> None:
        from pilot_data.stager import Stager

        try:
            self._stager = Stager(self._node.catalogue, self._node.settings.pilot)
            self._stager.serve(self._is_ours)
        except PilotError as error:  # requests tell their own errors; they do not need this
            logger.error("serving.failed %s", error, extra={"action": "serving.failed"})

    def _end(self) -> None:
        if self._thread is not None:
            self._thread.join()
        if self._stager is not None:
            self._stager.close(cancel=True)

    def _is_ours(self, store: PilotDataRecord) -> bool:
        return is_near(store, self._node.label)
