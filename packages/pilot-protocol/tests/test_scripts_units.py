from __future__ import annotations
from scripted_session import ScriptedSession, queue
def test_smoke(session: ScriptedSession) -> None:
    assert session.submit(0, 1, 2).added == 3
    assert session.submit(0, 1, 2).added == 0
    p = session.pilot(cores=2)
    assert p.claim(2) == [0, 1]
    assert p.claim(2, again=True) == [0, 1]
    assert p.report((0, 1, "R"), (1, 1, "D"), (1, 1, "D"), (2, 1, "D")) == "112" + "1"
