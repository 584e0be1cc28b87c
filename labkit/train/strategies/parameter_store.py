"""What an asynchronous parameter server keeps, and the rules by which it changes.

One call at a time, from several threads: those that speak for the workers, and rank 0's own.
"""

from __future__ import annotations

import threading

import torch
from torch import Tensor

from labkit.workload import Workload


class ParameterStore:
    """Parameters that every arriving gradient moves at once.

    A gradient is a worker's share of that of the global batch, so ``num_workers`` arrivals move
    the parameters as far as one synchronous step: they share a learning rate, and the momentum
    decays once for all of them. Where every arrival of such a round was computed on the same
    parameters, the round is the synchronous step, but for rounding.

    Staleness is bounded: nobody gets ahead of the slowest worker by more than ``max_staleness``
    steps. One that has pushed that much more waits for its answer, and one whose next gradient
    comes before the slowest has its parameters waits with that (Ho et al. 2013, "More effective
    distributed ML via a stale synchronous parallel parameter server", NeurIPS).

    Args:
        parameters: (numbers,), the initial ones; copied, as float32 where they are coarser.
        workload: learning rate and momentum.
        num_workers: that push gradients.
        max_staleness: steps, >= 0.
        timeout_s: longest that a worker waits for the slowest.

    Attributes:
        weights: (numbers,), as they are now.
        velocity: (numbers,), their momentum.
        version: updates so far.
        staleness: of each update: others that came since the worker took its parameters. The
            arrivals of one synchronous round have 0, 1, ... of it.
    """

    def __init__(
        self,
        parameters: Tensor,
        workload: Workload,
        *,
        num_workers: int,
        max_staleness: int,
        timeout_s: float,
    ) -> None:
        coarse = parameters.dtype == torch.bfloat16
        self.weights = parameters.float() if coarse else parameters.clone()
        self.version = 0
        self.staleness: list[int] = []
        self.velocity = torch.zeros_like(self.weights)
        self._workload = workload
        self._max_staleness = max_staleness
        self._timeout_s = timeout_s
        self._pushed = [0] * num_workers
        self._pulled = [0] * num_workers
        self._changed = threading.Condition()
        self._failure: BaseException | None = None

    def push(self, worker: int, gradient: Tensor, version: int) -> None:
        """Update the parameters by a worker's gradient.

        Args:
            worker: its number, from 0.
            gradient: (numbers,).
            version: of the parameters that it was computed on.
        Raises:
            TimeoutError: the slowest worker did not come near enough in time.
            RuntimeError: a thread that speaks for another worker has failed.
        """
        with self._changed:
            self._wait_for_the_slowest(worker, self._pulled)
            self.staleness.append(self.version - version)
            round_, place = divmod(self.version, len(self._pushed))
            rate = self._workload.learning_rate_at(round_)
            if place == 0:
                self.velocity.mul_(self._workload.momentum).add_(gradient)
                self.weights.sub_(self.velocity, alpha=rate)
            else:
                self.velocity.add_(gradient)
                self.weights.sub_(gradient, alpha=rate)
            self.version += 1
            self._pushed[worker] += 1
            self._changed.notify_all()

    def pull(self, worker: int, into: Tensor) -> int:
        """Copy the parameters for a worker's next step, once the slowest is near enough.

        Returns:
            Their version.
        Raises:
            As ``push``.
        """
        with self._changed:
            self._wait_for_the_slowest(worker, self._pushed)
            into.copy_(self.weights)
            self._pulled[worker] += 1
            self._changed.notify_all()
            return self.version

    def _wait_for_the_slowest(self, worker: int, done: list[int]) -> None:
        """Until no worker has done fewer than this one's steps less ``max_staleness``."""
        steps = self._pushed[worker]
        in_time = self._changed.wait_for(
            lambda: self._failure or steps - min(done) <= self._max_staleness, self._timeout_s
        )
        if self._failure is not None:
            raise RuntimeError(f"the parameter server has ended: {self._failure}")
        if not in_time:
            raise TimeoutError(
                f"worker {worker} is {steps - min(done)} steps ahead of the slowest, which has not "
                f"caught up for {self._timeout_s:.0f} s"
            )

    def fail(self, cause: BaseException) -> None:
        """Let every call that waits, or comes later, raise."""
        with self._changed:
            self._failure = self._failure or cause
            self._changed.notify_all()
