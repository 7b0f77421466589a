"""The catalogue as a mover uses it: it also tells what a compute unit has made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pilot_data.redis_catalogue import RedisCatalogue
from pilot_protocol import data_ops
from pilot_protocol.data_ops import DeliveryAnswer
from pilot_protocol.data_records import FileRecord
from pilot_protocol.operation import BATCH


@dataclass(frozen=True)
class Attempt:
    """Who delivers.

    Attributes:
        pilot: Id of the pilot.
        epoch: Its registration.
        unit: Id of the compute unit.
        attempt: Which of its attempts.
    """

    pilot: str
    epoch: str
    unit: str
    attempt: int


class NodeCatalogue(RedisCatalogue):
    """The catalogue of a session, with deliveries."""

    def deliver(
        self, attempt: Attempt, data_unit: str, pilot_data: str, files: Sequence[FileRecord]
    ) -> DeliveryAnswer:
        """Tell of files that an attempt has put at a Pilot-Data; may be said twice.

        Args:
            attempt: Of the compute unit.
            data_unit: That gets them.
            pilot_data: Where they are.
            files: Which ones. None asks only whether they would be taken.

        Returns:
            The first answer that is not ``delivered``, or that.
        """
        answer = self._say(attempt, data_unit, pilot_data, files[:BATCH])
        for start in range(BATCH, len(files), BATCH):
            if answer.verdict != "delivered":
                return answer
            answer = self._say(attempt, data_unit, pilot_data, files[start : start + BATCH])
        return answer

    def _say(
        self, attempt: Attempt, data_unit: str, pilot_data: str, files: Sequence[FileRecord]
    ) -> DeliveryAnswer:
        delivery = data_ops.Delivery(
            attempt.pilot, attempt.epoch, attempt.unit, attempt.attempt, data_unit, pilot_data
        )
        sealed = [(file, self._sealed(data_unit, file)) for file in files]
        return self._link.run(data_ops.deliver_files(self._keys, delivery, sealed))
