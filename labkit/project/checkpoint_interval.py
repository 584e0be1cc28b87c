"""How often to write checkpoints, when failures come at random."""

from __future__ import annotations

import math
import random


def best_interval_s(save_s: float, failures_every_s: float) -> float:
    """Seconds of training between two checkpoints that lose the least time: sqrt(2 C M).

    Args:
        save_s: of writing one.
        failures_every_s: mean time between failures, much longer than that.
    Raises:
        ValueError: a time that is not above 0.
    Source: Young 1974, "A first order approximation to the optimum checkpoint interval",
        doi:10.1145/361147.361115; Daly 2006, doi:10.1016/j.future.2004.11.016.
    """
    if not (save_s > 0 and failures_every_s > 0):
        raise ValueError(f"save_s={save_s}, failures_every_s={failures_every_s}; both are above 0")
    return math.sqrt(2 * save_s * failures_every_s)


def lost_share(
    interval_s: float, save_s: float, restart_s: float, failures_every_s: float
) -> float:
    """Time lost for each second of training, to first order: C/T + (T/2 + R)/M.

    Args:
        interval_s: training between two checkpoints.
        save_s, failures_every_s: as of ``best_interval_s``.
        restart_s: from a failure until training goes on.
    """
    return save_s / interval_s + (interval_s / 2 + restart_s) / failures_every_s


def play_failures(
    interval_s: float,
    save_s: float,
    restart_s: float,
    failures_every_s: float,
    *,
    work_s: float,
    seed: int,
) -> float:
    """Time lost for each second of training when failures come at random moments.

    All since the last whole checkpoint is done again. The time to the next failure has an
    exponential distribution: a failure does not care how long ago the last one was.

    Args:
        interval_s, save_s, restart_s, failures_every_s: as of ``lost_share``.
        work_s: seconds of training to be done in all.
        seed: of the failures.
    """
    chance = random.Random(seed)
    now_s = done_s = 0.0
    failure_s = chance.expovariate(1 / failures_every_s)
    while done_s < work_s:
        trained_s = min(interval_s, work_s - done_s)
        saved_at_s = now_s + trained_s + save_s
        if failure_s < saved_at_s:
            now_s = failure_s + restart_s
            failure_s = now_s + chance.expovariate(1 / failures_every_s)
        else:
            now_s, done_s = saved_at_s, done_s + trained_s
    return now_s / work_s - 1
