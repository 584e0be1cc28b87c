"""When a checkpoint is due."""

from __future__ import annotations

from collections.abc import Callable

from labkit.train.checkpoint_files import Checkpoints

MIN_INTERVAL_S = 5.0
COSTS_BETWEEN = 50  # times what the last one took, from one to the next: 2 % of the time


class Due:
    """When the next checkpoint of a run is due: after so many steps, or by the clock.

    Ranks agree when they report their losses, so a report has to come where one is due. By the
    clock that is not known ahead: there rank 0 says so in a report, and all follow.

    Args:
        checkpoints: of the job; ``None`` has none ever due.
        agrees_every: steps after which replicas are equal, see ``ParallelModel``.
        done: steps done before.
        now: wall clock, seconds.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        agrees_every: int,
        done: int,
        now: Callable[[], float],
    ) -> None:
        self._checkpoints = checkpoints
        self._agrees_every = agrees_every if checkpoints is not None else 1
        self._now = now
        self._saved_s = now()
        self._saved = done
        self._interval_s = MIN_INTERVAL_S

    def is_due(self, done: int) -> bool:
        """Whether one is due after so many steps, and training goes on; rank 0's answer counts."""
        if self._checkpoints is None or done % self._agrees_every:
            return False
        if self._checkpoints.every_steps is None:
            return self._now() - self._saved_s >= self._interval_s
        return done >= self._next(self._checkpoints.every_steps)

    def is_due_at_end(self, done: int) -> bool:
        """Whether one is due where training ends; the same on all ranks."""
        by_steps = self._checkpoints is not None and self._checkpoints.every_steps is not None
        return by_steps and done > self._saved and done % self._agrees_every == 0

    def shorten(self, done: int, num_steps: int) -> int:
        """At most so many steps to the next report, so that it comes where one may be due."""
        if self._checkpoints is None:
            return num_steps
        if self._checkpoints.every_steps is not None:
            num_steps = min(num_steps, max(1, self._next(self._checkpoints.every_steps) - done))
        end = done + num_steps
        agreeing = end - end % self._agrees_every
        return agreeing - done if agreeing > done else num_steps

    def saved(self, done: int, seconds: float) -> None:
        """One was written, or failed to be, in that many seconds."""
        self._saved, self._saved_s = done, self._now()
        self._interval_s = max(MIN_INTERVAL_S, COSTS_BETWEEN * seconds)

    def _next(self, every_steps: int) -> int:
        """The step after which the next one is due, where replicas agree."""
        wanted = (self._saved // every_steps + 1) * every_steps
        return -(-wanted // self._agrees_every) * self._agrees_every
