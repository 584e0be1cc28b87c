"""What a checkpoint costs: time, and processor time, to write one; and the time to go on from it.

    python tests/benchmarks/bench_checkpoints.py [WORKLOAD ...]

By time, checkpoints come at least 50 times their cost apart, and 5 s; the last column is the share
of the training that this is.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import labkit
from labkit.cluster.rank_context import RankContext
from labkit.plan import Plan
from labkit.train.checkpoint_files import Checkpoints
from labkit.train.due import COSTS_BETWEEN, MIN_INTERVAL_S
from labkit.train.job import TrainJob
from labkit.train.program import train_rank
from labkit.train.train import bundled_dataset
from labkit.workload import WORKLOADS

NUM_STEPS = 12

Costs = list[tuple[float, float]]  # wall and processor seconds of each call


def timed(function: Callable[..., Any], costs: Costs) -> Callable[..., Any]:
    """The function, noting what each call costs this rank."""

    def call(*args: Any) -> Any:
        wall_s, processor_s = time.perf_counter(), time.process_time()
        try:
            return function(*args)
        finally:
            costs.append((time.perf_counter() - wall_s, time.process_time() - processor_s))

    return call


def measure(ctx: RankContext, job: TrainJob) -> tuple[Costs, Costs, int]:
    """Costs of writing and of resuming on this rank, and the bytes of a checkpoint."""
    checkpoint, loop = (import_module(f"labkit.train.{name}") for name in ("checkpoint", "loop"))
    written: Costs = []
    resumed: Costs = []
    checkpoint.Saver.save = timed(checkpoint.Saver.save, written)
    loop.resume = timed(loop.resume, resumed)
    result = train_rank(ctx, job)
    return written, resumed, max((c.get("bytes", 0) for c in result.checkpoints), default=0)


def main() -> None:
    """Print one line a workload and plan."""
    plans = {"dp=2": Plan(dp=2), "dp=2 shard=parameters": Plan(dp=2, shard="parameters")}
    print(
        f"{'workload':<10} {'plan':<24} {'MB':>5} {'save ms':>8} {'(cpu)':>7} {'load ms':>8}  share"
    )
    with tempfile.TemporaryDirectory() as folder, labkit.launch(2, device="cpu") as cluster:
        for name in sys.argv[1:] or ("fruit", "text", "deep"):
            for label, plan in plans.items():
                checkpoints = Checkpoints(folder=str(Path(folder) / name / label), every_steps=2)
                job = TrainJob(
                    workload=WORKLOADS[name],
                    plan=plan,
                    dataset_folder=str(bundled_dataset(WORKLOADS[name], cluster).folder),
                    num_steps=NUM_STEPS,
                    evaluate=False,
                    checkpoints=checkpoints,
                )
                written, _, size = cluster.run_ranks(measure, 2, job)[0]
                saved = str(Path(checkpoints.folder) / f"step-{NUM_STEPS:06d}")
                again = TrainJob(
                    workload=job.workload,
                    plan=plan,
                    dataset_folder=job.dataset_folder,
                    num_steps=NUM_STEPS + 1,
                    evaluate=False,
                    resume_from=saved,
                    start_step=NUM_STEPS,
                )
                _, resumed, _ = cluster.run_ranks(measure, 2, again)[0]
                save_s, cpu_s = (median(cost[i] for cost in written) for i in (0, 1))
                share = save_s / max(MIN_INTERVAL_S, COSTS_BETWEEN * save_s)
                print(
                    f"{name:<10} {label:<24} {size / 1e6:>5.1f} {save_s * 1e3:>8.0f} "
                    f"{cpu_s * 1e3:>7.0f} {resumed[0][0] * 1e3:>8.0f}  {share:.1%}"
                )


if __name__ == "__main__":
    main()
