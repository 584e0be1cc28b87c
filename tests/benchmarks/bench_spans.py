"""What the record costs and how much of the time it explains.

    python tests/benchmarks/bench_spans.py [REPEATS]

Spans: the same training with the recorder and with one that does nothing, alternating in the same
ranks; the ratio of step times is the overhead. Closure: the share of the wall time that the
attribution leaves to "other". Bytes: measured over formula.
"""

from __future__ import annotations

import sys
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

STEPS = 40
PLANS = {"one device": Plan(), "data 2": Plan(dp=2), "1f1b 2": Plan(pp=2), "tensor 2": Plan(tp=2)}


def step_times(ctx: RankContext, job: TrainJob, repeats: int) -> tuple[list[float], list[float]]:
    """Median step with and without spans, alternating; runs on the ranks."""
    from labkit.train.rank import run_rank
    from labkit.train.spans import SpanRecorder

    recorded, silent = [], []

    def nothing(self: SpanRecorder, *args: Any, **kwargs: Any) -> None:
        """The recorder that records nothing."""

    for _ in range(repeats):
        recorded.append(_step_s(run_rank(ctx, job)))
        with patch.object(SpanRecorder, "add", nothing):
            silent.append(_step_s(run_rank(ctx, job)))
    return recorded, silent


def _step_s(result: Any) -> float:
    ends_s = result.step_ends_s
    return median(b - a for a, b in pairwise(ends_s[2:]))


def main() -> None:
    """Print one line per workload and plan."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(
        f"{'workload':<9}{'plan':<12}{'with / without spans':>22}{'other':>8}{'bytes/formula':>15}"
    )
    with labkit.launch(2, device="cpu") as cluster:
        for name in ("fruit", "digits", "text"):
            workload = find_workload(name)
            dataset = bundled_dataset(workload, cluster)
            for label, plan in PLANS.items():
                job = TrainJob(
                    workload=workload, plan=plan, dataset_folder=str(dataset.folder),
                    num_steps=STEPS, evaluate=False,
                )  # fmt: skip
                recorded, silent = cluster.run_ranks(
                    step_times, plan.world_size, job, repeats, timeout_s=600.0
                )[0]
                ratios = [a / b for a, b in zip(recorded, silent, strict=True)]
                record = labkit.train(workload, plan, cluster, steps=STEPS, evaluate=False).wait()
                shares = record.attribution_s
                measured = sum(record.comm_bytes["measured"].values())
                formula = sum(record.comm_bytes["formula"].values())
                print(
                    f"{name:<9}{label:<12}{median(ratios):>14.3f} "
                    f"({min(ratios):.2f}-{max(ratios):.2f}){shares['other'] / record.wall_s:>7.2%}"
                    f"{measured / formula if formula else 1:>12.4f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
