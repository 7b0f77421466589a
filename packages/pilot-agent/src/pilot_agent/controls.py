"""Orders of clients to this pilot: check the seal, skip what was obeyed before, tell the core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pilot_protocol.errors import ProtocolError
from pilot_protocol.messages import ControlOrder
from pilot_protocol.operation import ORDERS_PER_REPLY
from pilot_protocol.signing import CANCEL, CONTROL, SIGNATURE_BYTES, Seal

from . import events

logger = logging.getLogger(__name__)

_MOST_BYTES = 1024
"""Of a sealed order. It has to be read to know for whom it is sealed, so nobody may make that costly."""


class Controls:
    """Control messages of one pilot.

    Args:
        seal: The session's.
        pilot: The pilot's id, for which its orders are sealed.
        dispatch: Hands an event to the core.
        ask_again: Called when a reply was full, so that more orders may wait; a stop may be among them.
    """

    def __init__(
        self,
        seal: Seal,
        pilot: str,
        dispatch: Callable[[events.Event], None],
        ask_again: Callable[[], None],
    ) -> None:
        self._seal, self._pilot, self._dispatch, self._ask_again = seal, pilot, dispatch, ask_again
        self.seen = 0
        """Number of the last order that was obeyed; Redis forgets the ones up to it."""

    def obey(self, messages: Sequence[tuple[int, bytes]]) -> None:
        """Carry out what is new among ``messages``, each a number and a sealed order."""
        fresh = [order for number, record in messages if number > self.seen and (order := self._read(record))]
        self.seen = max([self.seen, *(number for number, _ in messages)])
        canceled = [order.unit for order in fresh if order.verb == "cancel"]
        if canceled:
            self._dispatch(events.CancelRequested(canceled))
        for order in fresh:
            if order.verb == "drain":
                self._dispatch(events.DrainRequested())
            elif order.verb == "stop":
                self._dispatch(events.StopRequested())
        if len(messages) >= ORDERS_PER_REPLY:
            self._ask_again()

    def _read(self, record: bytes) -> ControlOrder | None:
        try:
            return self._open(record)
        except ProtocolError as error:
            logger.error("control.rejected %s", error, extra={"action": "control.rejected"})
            return None

    def _open(self, record: bytes) -> ControlOrder:
        if len(record) > _MOST_BYTES:
            raise ProtocolError(f"an order of {len(record)} bytes; none has more than {_MOST_BYTES}")
        return self._open_small(record)

    def _open_small(self, record: bytes) -> ControlOrder:
        """The order names what it is sealed for; it is believed once the seal has been checked for just that."""
        order = ControlOrder.from_bytes(record[SIGNATURE_BYTES:])
        kind, name = (CANCEL, order.unit) if order.verb == "cancel" else (CONTROL, self._pilot)
        return ControlOrder.from_bytes(self._seal.open(kind, name, record))
