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
FIRST_S = 600.0  # to build the model and do the first step: nobody knows how long that takes
LAST_S = 600.0  # to evaluate after the last step, at least
LAST_STEPS = 4096  # the same in steps: as many samples at most, none of which takes as long as one
ASK_S = 1.0  # for the answers of the ranks
BUSY_S = 120.0  # more for ranks that say that they do something else than steps
NUM_KEPT = 32


class HangWatch:
    """Notes when steps arrive, and how long they may stay away.

    It watches from the start of the ranks to their end. How long the first step may take is not
    known, so that is given ten minutes; what follows the last one at least as much.

    Args:
        num_steps: planned steps of the run.
        clock: monotonic seconds.
        start_step: that is done first; one that goes on after the last step does none.
        step_s: that a step took in an earlier attempt, if there was one.

    Attributes:
        last_s: on the clock, when the last steps came; before the first, when the ranks started.
        after_last: whether the last planned step has come.
    """

    def __init__(
        self,
        num_steps: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        start_step: int = 0,
        step_s: float = 0.0,
    ) -> None:
        self.num_steps = num_steps
        self.clock = clock
        self.last_s = clock()
        self._excused_until_s = 0.0
        self._slowed_until_s = 0.0
        self._steps_s: deque[float] = deque(maxlen=NUM_KEPT)
        self._first_s: float | None = None  # until the first steps came, from the ranks' start
        self._running = False
        self.after_last = start_step >= num_steps
        self._earlier_s = step_s

    def begin(self) -> None:
        """All ranks have started; they build their model, then do their first step."""
        self.last_s = self.clock()
        self._running = True

    def take(self, event: dict[str, Any]) -> None:
        """Note an event of type ``steps``, whose items start with the number of the step."""
        steps: Sequence[Sequence[Any]] = event["steps"]
        if not steps:
            return
        now = self.clock()
        if self._first_s is None:
            self._first_s = now - self.last_s
        else:
            self._steps_s.append((now - self.last_s) / len(steps))
        self.last_s, self._excused_until_s = now, 0.0
        self.after_last = steps[-1][0] + 1 >= self.num_steps

    @property
    def step_s(self) -> float:
        """Median seconds of a step; 0.0 while that is not known.

        After the first report no more is known than that it took less than all since the start.
        """
        if self._steps_s:
            return median(self._steps_s)
        return self._earlier_s if self._first_s is None else self._first_s

    @property
    def limit_s(self) -> float:
        """Seconds without a step after which the run hangs: 20 median steps, within bounds.

        One step alone may last as long as three. Before the first step and after the last one the
        ranks have more; see ``FIRST_S`` and ``LAST_S``.
        """
        step_s = self.step_s
        if self.after_last:
            return max(LAST_S, LAST_STEPS * step_s)
        if self._first_s is None:
            return FIRST_S
        return max(min(max(STEPS * step_s, LEAST_S), MOST_S), SLOW_STEPS * step_s)

    @property
    def due_s(self) -> float:
        """On the clock, when the run hangs if no step comes; infinite before the ranks' start."""
        if not self._running:
            return float("inf")
        return max(self.last_s + self.limit_s, self._excused_until_s, self._slowed_until_s)

    def expect_slow_steps(self, seconds: float) -> None:
        """Somebody slows the run down for so long on purpose: it does not hang until then."""
        limit_s = self.limit_s if self._first_s is not None else MOST_S
        self._slowed_until_s = self.clock() + seconds + limit_s

    def excuse(self) -> bool:
        """The ranks do something else than steps; False when they have been for too long."""
        self._excused_until_s = self.clock() + min(self.limit_s, MOST_S)
        return self.clock() - self.last_s < self.limit_s + BUSY_S
