"""A stand-in for the mover: it speaks the mover's lines and moves nothing. Its file is put where `pilot_data.node` would be.

What a request makes it do is in its patterns: `fail TEXT` has it answered with that error, `meet FIFO` makes it wait for a
byte from that pipe; anything else makes a file of that name in the unit's folder, for input. Everything that
it hears is in the file `mover.heard` of the pilot's sandbox.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

Heard = dict[str, Any]


class StandInMover:
    """Answers each request once."""

    def __init__(self, greeting: Heard, heard: TextIO) -> None:
        self.greeting, self.heard = greeting, heard
        self.lock = threading.Lock()
        self.open: set[tuple[str, int, str]] = set()

    def note(self, said: Heard) -> None:
        self.heard.write(json.dumps({**said, "mover": os.getpid()}) + "\n")
        self.heard.flush()

    def obey(self, said: Heard) -> None:
        verb = said.get("do")
        if verb in ("in", "out"):
            with self.lock:
                self.open.add((said["unit"], said["attempt"], verb))
            threading.Thread(target=self.move, args=(said,), daemon=True).start()
        elif verb == "cancel":
            for did in ("in", "out"):
                self.answer(said, did, "canceled")

    def move(self, said: Heard) -> None:
        error = ""
        folder = Path(said["folder"])
        for pattern in (pattern for patterns in said["data"].values() for pattern in patterns):
            what, _, rest = pattern.partition(" ")
            if what == "fail":
                error = rest
            elif what == "meet":
                with Path(rest).open("rb", buffering=0) as pipe:
                    pipe.read(1)
            elif said["do"] == "in":
                folder.mkdir(parents=True, exist_ok=True)
                (folder / pattern).write_text("moved by a stand-in")
            elif not (folder / pattern).exists():
                error = f"no file matches {pattern}"
        self.answer(said, said["do"], error)

    def answer(self, said: Heard, did: str, error: str) -> None:
        key = (said["unit"], said["attempt"], did)
        with self.lock:
            if key not in self.open:
                return
            self.open.remove(key)
            answer = {"unit": key[0], "attempt": key[1], "did": did, "error": error, "bytes": 0, "linked": 0}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


def main() -> None:
    """Serve until nobody asks any more."""
    sys.stderr.write("a stand-in for the mover begins\n")
    sys.stderr.flush()
    greeting = json.loads(sys.stdin.readline())
    with Path(greeting["sandbox"], "mover.heard").open("a") as heard:
        mover = StandInMover(greeting, heard)
        mover.note({**greeting, "key_hex": len(greeting["key_hex"])})
        for line in sys.stdin:
            said = json.loads(line)
            mover.note(said)
            mover.obey(said)


if __name__ == "__main__":
    main()
