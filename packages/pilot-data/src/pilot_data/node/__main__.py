"""``python -m pilot_data.node``: reads what an agent says from standard input, answers on standard output.

It ends when its input does; what is on its way is canceled then.
"""

from __future__ import annotations

import logging
import os
import sys

from pilot_protocol.errors import ProtocolError

from . import log
from .messages import Answer, read_message, read_settings
from .mover import Mover
from .node import Node

logger = logging.getLogger(__name__)


def main() -> int:
    """Serve one agent; return the exit code."""
    log.set_up(sys.stderr)
    try:
        mover = Mover(Node(read_settings(sys.stdin.readline())), _say)
        for line in sys.stdin:
            mover.handle(read_message(line))
    except ProtocolError as error:
        logger.critical("mover.ended %s", error, extra={"action": "mover.ended"})
        return 2
    if not mover.close():
        logger.warning("mover.ended requests did not end in time", extra={"action": "mover.ended"})
    return 0


def _say(answer: Answer) -> None:
    """Answer. Without anybody who reads, there is nobody to serve."""
    try:
        sys.stdout.write(answer.line())
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(1)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    os._exit(code)  # a thread that waits for a server that is away keeps nobody
