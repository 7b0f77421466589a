"""The signals that mean: end in order. Batch systems use one or the other, and send it to all processes of a job.

Slurm sends SIGCONT and SIGTERM, PBS SIGTERM, Grid Engine SIGUSR2 a minute before SIGKILL and SIGUSR1 before it stops a job,
LSF SIGUSR2 or SIGINT, a limit of processor time SIGXCPU, a lost connection SIGHUP. What they mean is decided in one place:
the supervisor and the head take them all alike, and their other processes do not listen.
"""

from __future__ import annotations

import signal

END_SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)


def hold_back_end_signals() -> None:
    """Let none of them be seen any more by this process, which ends by itself.

    What an event loop has listened to is fatal again when it closes; what is held back is not, whoever changes what it does.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)


def ignore_end_signals() -> None:
    """Go on when one comes; so does what this process becomes by exec."""
    for number in END_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
