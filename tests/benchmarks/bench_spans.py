"""What the record costs and how much of the time it explains.

    python tests/benchmarks/bench_spans.py [REPEATS] [WORKLOAD ...]

Spans: half of the steps of a training, drawn at random, are recorded, so that what disturbs the
machine disturbs both halves, and what happens in every second step is not taken for the record's
cost; the ratio of their median steps is the overhead. Closure: the share of the time after the
start-up that the attribution leaves to "other". Bytes: measured over formula.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from random import Random
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
WARMUP = 3
PLANS = {"one device": Plan(), "data 2": Plan(dp=2), "1f1b 2": Plan(pp=2), "tensor 2": Plan(tp=2)}


def overheads(ctx: RankContext, job: TrainJob, repeats: int) -> list[float]:
    """Median recorded step over median silent step, of each repeat; runs on the ranks."""
    from labkit.train.rank import run_rank
    from labkit.train.spans import SpanRecorder

    add, span = SpanRecorder.add, SpanRecorder.span

    chosen: set[int] = set()

    def add_in_chosen_steps(self: SpanRecorder, *args: Any, **kwargs: Any) -> None:
        if self.step in chosen:
            add(self, *args, **kwargs)

    def span_in_chosen_steps(self: SpanRecorder, *args: Any, **kwargs: Any) -> Any:
        return span(self, *args, **kwargs) if self.step in chosen else nullcontext()

    ratios = []
    steps = range(WARMUP, job.num_steps)
    with (
        patch.object(SpanRecorder, "add", add_in_chosen_steps),
        patch.object(SpanRecorder, "span", span_in_chosen_steps),
    ):
        for repeat in range(repeats):
            chosen = set(Random(repeat).sample(steps, len(steps) // 2))  # the same on every rank
            ends_s = run_rank(ctx, job).step_ends_s
            recorded = [ends_s[step] - ends_s[step - 1] for step in steps if step in chosen]
            silent = [ends_s[step] - ends_s[step - 1] for step in steps if step not in chosen]
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
