"""How often a batch system is asked for a job: batch systems tell nothing by themselves, and dislike to be asked often.

Pure. A job is looked at often while news is likely: when it is new, just after it has started, and while somebody waits for
its end. Once its agent runs, Redis tells more, and sooner.
"""

from __future__ import annotations

from .queue import JobPhase

OFTEN_S = 1.0
SELDOM_S = 15.0
_SHARE = 0.1
"""Of the time that a job has been in its phase: what has not changed for long is not likely to change right now."""


def pause_s(phase: JobPhase, in_phase_s: float, *, is_awaited: bool) -> float:
    """Return the seconds until a job is to be looked at again.

    Args:
        phase: Its last known phase.
        in_phase_s: For how many seconds it has been known to be in it.
        is_awaited: Whether somebody waits for its end.
    """
    if is_awaited or phase is JobPhase.UNKNOWN:
        return OFTEN_S
    return min(max(OFTEN_S, _SHARE * in_phase_s), SELDOM_S)
