"""What the record costs and how much of the time it explains.

    python tests/benchmarks/bench_spans.py [REPEATS] [WORKLOAD ...]

Spans: every other step of a training is recorded, so that what disturbs the machine disturbs both
halves; the ratio of their median steps is the overhead. Closure: the share of the time after the
start-up that the attribution leaves to "other". Bytes: measured over formula.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from itertools import pairwise
from statistics import median
from typing import Any
from unittest.mock import patch

import labkit
from labkit.cluster.rank_context import RankContext
from labkit.plan import Plan
from labkit.train.job import TrainJob
from labkit.train.train import bundled_dataset
from labkit.workload import find_workload

STEPS = 60
WARMUP = 3  # odd, so that the first step after it is recorded
PLANS = {"one device": Plan(), "data 2": Plan(dp=2), "1f1b 2": Plan(pp=2), "tensor 2": Plan(tp=2)}


def overheads(ctx: RankContext, job: TrainJob, repeats: int) -> list[float]:
    """Median recorded step over median silent step, of each repeat; runs on the ranks."""
    from labkit.train.rank import run_rank
    from labkit.train.spans import SpanRecorder

    add, span = SpanRecorder.add, SpanRecorder.span

    def add_in_even_steps(self: SpanRecorder, *args: Any, **kwargs: Any) -> None:
        if self.step % 2 == 0:
            add(self, *args, **kwargs)

    def span_in_even_steps(self: SpanRecorder, *args: Any, **kwargs: Any) -> Any:
        return nullcontext() if self.step % 2 else span(self, *args, **kwargs)

    ratios = []
    with (
        patch.object(SpanRecorder, "add", add_in_even_steps),
        patch.object(SpanRecorder, "span", span_in_even_steps),
    ):
        for _ in range(repeats):
            ends_s = run_rank(ctx, job).step_ends_s
            seconds = [end_s - start_s for start_s, end_s in pairwise(ends_s)]  # of step 1, 2, ...
            recorded, silent = seconds[WARMUP::2], seconds[WARMUP + 1 :: 2]
            ratios.append(median(recorded) / median(silent))
    return ratios


def main() -> None:
    """Print one line per workload and plan."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(
        f"{'workload':<9}{'plan':<12}{'with / without spans':>22}{'other':>8}{'bytes/formula':>15}"
    )
    with labkit.launch(2, device="cpu") as cluster:
        for name in sys.argv[2:] or ("fruit", "digits", "text"):
            workload = find_workload(name)
            dataset = bundled_dataset(workload, cluster)
            for label, plan in PLANS.items():
                job = TrainJob(
                    workload=workload, plan=plan, dataset_folder=str(dataset.folder),
                    num_steps=STEPS, evaluate=False,
                )  # fmt: skip
                ratios = cluster.run_ranks(
                    overheads, plan.world_size, job, repeats, timeout_s=600.0
                )[0]
                record = labkit.train(workload, plan, cluster, steps=STEPS, evaluate=False).wait()
                shares = record.attribution_s
                trained_s = record.wall_s - shares["startup"]
                measured = sum(record.comm_bytes["measured"].values())
                formula = sum(record.comm_bytes["formula"].values())
                print(
                    f"{name:<9}{label:<12}{median(ratios):>12.3f} "
                    f"({min(ratios):.3f}-{max(ratios):.3f}){shares['other'] / trained_s:>7.2%}"
                    f"{measured / formula if formula else 1:>12.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
