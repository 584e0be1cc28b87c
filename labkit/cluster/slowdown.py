"""A rank made slow for a while: its process is suspended for most of every few milliseconds.

So everything that it does takes longer, as on a device that is slower or shared: computing,
copying, its part of a collective. It is the duty cycle of cpulimit(1), and needs no rights over
control groups.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Protocol

RUN_S = 0.01  # of each cycle; with a factor of 10 a rank is away for 90 ms, far below a lease


class Slowed(Protocol):
    """The process of a rank; see ``forked_process``."""

    pidfd: int | None
    slowed: bool


def start_slowdown(child: Slowed, factor: float, seconds: float) -> threading.Thread:
    """Slow a process down, from a thread of its own.

    Args:
        child: the process; marked as ``slowed`` meanwhile, so that nobody takes it to be hung.
        factor: it runs for 1/factor of the time; above 1.
        seconds: after which it runs freely again.
    """
    assert child.pidfd is not None
    child.slowed = True
    # A copy: the owner closes its own when the rank ends, and the number may be used again.
    pidfd = os.dup(child.pidfd)
    thread = threading.Thread(
        target=_slow, args=(child, pidfd, factor, seconds), daemon=True, name="slowdown"
    )
    thread.start()
    return thread


def _slow(child: Slowed, pidfd: int, factor: float, seconds: float) -> None:
    until_s = time.monotonic() + seconds
    try:
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < until_s:
                signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
                time.sleep((factor - 1) * RUN_S)
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
                time.sleep(RUN_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)
        os.close(pidfd)
        child.slowed = False
