"""Whether a run still goes on, judged by the steps that it reports."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

LEAST_S = 6.0  # a busy machine may hold up fast steps for so long
MOST_S = 7.5  # asking the ranks twice takes two seconds more: a hang is known within 10 s
STEPS = 20  # medians that a run may be silent for
SLOW_STEPS = 3  # the same where a single step takes longer than MOST_S allows
ASK_S = 1.0  # for the answers of the ranks
BUSY_S = 120.0  # ranks that say that they do something else than steps are given so long
NUM_KEPT = 32


class HangWatch:
    """Notes when steps arrive, and how long they may stay away.

    It watches between the first report of steps and the last planned step; before and after, how
    long something takes is not known.

    Args:
        num_steps: planned steps of the run.
        clock: monotonic seconds.
    """

    def __init__(self, num_steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.num_steps = num_steps
        self.clock = clock
        self.last_s = 0.0
        self._excused_until_s = 0.0
        self._steps_s: deque[float] = deque(maxlen=NUM_KEPT)
        self._running = False

    def take(self, event: dict[str, Any]) -> None:
        """Note an event of type ``steps``, whose items start with the number of the step."""
        steps: Sequence[Sequence[Any]] = event["steps"]
        if not steps:
            return
        now = self.clock()
        if self._running:
            self._steps_s.append((now - self.last_s) / len(steps))
        self.last_s = now
        self._running = steps[-1][0] + 1 < self.num_steps

    @property
    def limit_s(self) -> float:
        """Seconds without a step after which the run hangs: 20 median steps, within bounds."""
        step_s = median(self._steps_s) if self._steps_s else MOST_S / STEPS
        return max(min(max(STEPS * step_s, LEAST_S), MOST_S), SLOW_STEPS * step_s)

    @property
    def due_s(self) -> float:
        """On the clock, when the run hangs if no step comes; infinite while that is unknown."""
        if not self._running:
            return float("inf")
        return max(self.last_s + self.limit_s, self._excused_until_s)

    def expect_slow_steps(self, seconds: float) -> None:
        """Somebody slows the run down for so long on purpose: it does not hang until then."""
        self._excused_until_s = self.clock() + seconds + self.limit_s

    def excuse(self) -> bool:
        """The ranks do something else than steps; False when they have been for too long."""
        self._excused_until_s = self.clock() + self.limit_s
        return self.clock() - self.last_s < BUSY_S
