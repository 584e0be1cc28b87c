"""The one training loop, the same for every strategy.

Ranks agree on two things now and then, in one small all_reduce: whether to stop, and what the
losses were. Doing so every step would cost a fast model 5 % of its speed, so the steps between two
reports are chosen such that a report comes about every ``REPORT_S`` seconds. Where rank 0 says in a
report that a checkpoint is due, all write it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from labkit.cluster.rank_context import RankContext
from labkit.emulate.pacer import RealTime
from labkit.runs.record import CHECKPOINT, UPDATE, Step
from labkit.train.batches import Batch, Batches
from labkit.train.checkpoint import Saver
from labkit.train.due import Due
from labkit.train.job import TrainJob
from labkit.train.optimizer import Optimizer, clip_gradients
from labkit.train.resume import resume
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import ParallelModel

REPORT_S = 0.4  # the plots move twice a second; every 0.2 s costs a fast model 1 %
EAGER_REPORTS = 2  # the first steps are reported one by one, so that something is seen at once
MAX_STEPS_A_REPORT = 64
SPANS_S = 1.0  # a timeline need not move as often as a loss
MAX_SPANS_AN_EVENT = 200


@dataclass(slots=True)
class LoopResult:
    """What the loop did; see ``RankResult`` for the fields."""

    loop_start_s: float
    steps: list[Step] = field(default_factory=list)
    step_ends_s: list[float] = field(default_factory=list)
    nominal_ends_s: list[float] = field(default_factory=list)
    first_step_wall_s: float = 0.0
    stopped: bool = False
    checkpoints: list[dict[str, Any]] = field(default_factory=list)


class Reporter:
    """Agrees with the other ranks on losses and stopping, and tells the client.

    Args:
        ctx, job, recorder, result: of this rank.
        num_samples: samples of a step's global batch.
        time_scale: seconds on the wall for one of the record's.
        due: says when checkpoints are.

    Attributes:
        steps_to_next: steps until the next report, the same on every rank.
        save_now: whether the ranks agreed, in the last report, to write a checkpoint.
    """

    def __init__(
        self,
        ctx: RankContext,
        job: TrainJob,
        recorder: SpanRecorder,
        result: LoopResult,
        num_samples: Callable[[int], int],
        time_scale: float = 1.0,
        due: Due | None = None,
    ) -> None:
        self.ctx = ctx
        self.job = job
        self.recorder = recorder
        self.result = result
        self.num_samples = num_samples
        self.time_scale = time_scale
        self.due = due or Due(None, 1, job.start_step, ctx.now)
        self.steps_to_next = 1
        self.save_now = False
        self._num_reports = 0
        self._next_spans_s = 0.0
        self._shares: list[Tensor] = []

    def add(self, share: Tensor) -> bool:
        """Take one step's share of the loss, report when it is time; True: stop now."""
        self._shares.append(share)
        self.save_now = False
        if len(self._shares) < self.steps_to_next:
            return False
        stop = self._report()
        self._shares.clear()
        return stop

    def _report(self) -> bool:
        start_s = self.recorder.now()
        done = self.job.start_step + len(self.result.step_ends_s)
        message = torch.zeros(3 + len(self._shares), dtype=torch.float64)
        message[0] = float(self.ctx.stop_requested)
        if self.ctx.rank == 0:
            message[1] = self._propose(done)
            message[2] = float(self.due.is_due(done))
        message[3:] = torch.stack(self._shares)
        if self.ctx.world_size > 1:
            message = message.to(self.ctx.device)
            dist.all_reduce(message)
            self.recorder.add("idle", "report", start_s)
        values: list[float] = message.tolist()
        stop, steps_to_next, save, *losses = values
        self._num_reports += 1
        self.steps_to_next = int(steps_to_next)
        self._tell(losses)
        ends = stop > 0 or done == self.job.num_steps
        self.save_now = self.due.is_due_at_end(done) if ends else save > 0
        return stop > 0

    def _propose(self, done: int) -> int:
        """Rank 0's wish for the next report: ``REPORT_S`` away, but not beyond the last step."""
        ends_s = [self.result.loop_start_s, *self.result.step_ends_s]
        step_s = (ends_s[-1] - ends_s[-1 - len(self._shares)]) / len(self._shares)
        step_s *= self.time_scale
        wanted = 1 if self._num_reports < EAGER_REPORTS else round(REPORT_S / max(step_s, 1e-6))
        left = self.job.num_steps - done
        return self.due.shorten(done, max(1, min(wanted, left, MAX_STEPS_A_REPORT)))

    def _tell(self, losses: list[float]) -> None:
        if self.ctx.now() >= self._next_spans_s:
            self._next_spans_s = self.ctx.now() + SPANS_S
            self._tell_spans()
        if self.ctx.rank == 0:
            self._tell_steps(losses)

    def _tell_spans(self) -> None:
        spans = [tuple(span) for span in self.recorder.take_new(MAX_SPANS_AN_EVENT)]
        self.ctx.emit({"type": "spans", "rank": self.ctx.rank, "spans": spans})

    def _tell_steps(self, losses: list[float]) -> None:
        done = len(self.result.steps)
        first = self.job.start_step + done
        ends_s = [self.result.loop_start_s, *self.result.step_ends_s]
        new = [
            Step(
                step=first + i,
                loss=loss,
                samples=self.num_samples(first + i),
                seconds=ends_s[done + i + 1] - ends_s[done + i],
                end_s=ends_s[done + i + 1],
            )
            for i, loss in enumerate(losses)
        ]
        self.result.steps += new
        self.ctx.emit({"type": "steps", "steps": [tuple(step) for step in new]})


def train_steps(
    ctx: RankContext,
    job: TrainJob,
    part: ParallelModel,
    batches: Batches,
    recorder: SpanRecorder,
    pace: RealTime,
) -> LoopResult:
    """Run the steps of a job on this rank, or fewer if the user stops the run.

    Args:
        ctx: this rank; receives events ``{"type": "steps", "steps": [...]}`` (rank 0) and
            ``{"type": "spans", "rank": r, "spans": [...]}`` (at most the 200 newest a report), and
            of rank 0 ``{"type": "checkpoint", "step": done, "seconds": ..., ...}`` with ``folder``
            and ``bytes``, or with ``error``.
        job: what to do.
        part: this rank's part of the model.
        batches: the replica's samples; not read on a stage that needs none.
        recorder: takes the spans.
        pace: of this rank.
    Returns:
        Losses (on rank 0) and the end of each step. The last gradients stay on the parameters.
    """
    device = torch.device(ctx.device)
    workload = job.workload
    updated = list(part.module.parameters()) if part.updated is None else part.updated
    optimizer = Optimizer(updated, workload)
    saver = None
    if job.resume_from:
        resume(ctx, job, part, optimizer, batches)
        recorder.forget()
    if job.checkpoints is not None:
        saver = Saver(ctx, job, part, optimizer, batches.reader.num_samples)
    if ctx.world_size > 1:
        dist.all_reduce(torch.zeros(1, device=device))  # start the clock together
    pace.start()
    result = LoopResult(loop_start_s=recorder.now())
    due = Due(job.checkpoints, part.agrees_every, job.start_step, ctx.now)
    reporter = Reporter(ctx, job, recorder, result, batches.num_samples, pace.time_scale, due)
    for step in range(job.start_step, job.num_steps):
        recorder.step = step
        batch = Batch(None, None, batches.loss_scale(step))
        if part.needs_batch:
            with recorder.span("data", "read batch"):
                batch = batches.take(step, device)
        with recorder.span("optimizer", "zero grad"):
            part.module.zero_grad()
        share = part.forward_backward(batch)
        with recorder.span("optimizer", UPDATE):
            if workload.clip_norm is not None:
                clip_gradients(part, workload.clip_norm)
            optimizer.step(workload.learning_rate_at(step))
            pace.spend(pace.optimizer_s(optimizer.num_bytes))
        part.after_update(step, optimizer)
        recorder.settle()
        result.step_ends_s.append(recorder.now())
        result.nominal_ends_s.append(pace.nominal_s)
        if step == job.start_step:
            result.first_step_wall_s = ctx.now()
        stop = reporter.add(share)
        if saver is not None and reporter.save_now:
            start_s = recorder.now()
            written = saver.save(step + 1)
            pace.leave_out(written["seconds"])
            recorder.add("idle", CHECKPOINT, start_s, end_s=max(start_s, recorder.now()))
            due.saved(step + 1, written["seconds"])
            if ctx.rank == 0:
                result.checkpoints.append(written)
                ctx.emit({"type": "checkpoint", **written})
        if stop:
            result.stopped = step + 1 < job.num_steps
            break
    return result
