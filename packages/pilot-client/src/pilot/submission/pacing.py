"""How often a batch system is asked for a job: batch systems tell nothing by themselves, and dislike to be asked often.

Pure. A job is looked at often while news is likely: when it is new, just after it has started, and while somebody waits for
its end; but a batch system that gives no answers is asked less and less often whatever is waited for, since it has trouble
enough. Once a job's agent runs, Redis tells more, and sooner.
"""

from __future__ import annotations

OFTEN_S = 1.0
SELDOM_S = 15.0
_SHARE = 0.1
"""Of the time that nothing has changed: what has not changed for long is not likely to change right now."""


def pause_s(unchanged_s: float, *, is_awaited: bool) -> float:
    """Return the seconds until a job is to be looked at again.

    Args:
        unchanged_s: For how many seconds it has been known to be in its phase, or its batch system has given no news of it.
        is_awaited: Whether somebody waits for its end, and may hear of it.
    """
    return OFTEN_S if is_awaited else min(max(OFTEN_S, _SHARE * unchanged_s), SELDOM_S)
