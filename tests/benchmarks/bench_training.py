"""How soon a run starts, how well two ranks use two cores, how soon a run stops.

    python tests/benchmarks/bench_training.py [REPEATS] [first]

With ``first``, only how soon the first step starts and ends.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import labkit
from labkit.cluster.cluster import Cluster
from labkit.runs.sweep import sweep
from labkit.train.train import bundled_dataset
from labkit.workload import WORKLOADS


def first_step(cluster: Cluster, name: str, num_ranks: int, repeats: int) -> None:
    """Seconds from the call of train to the end of the first step, on a warm cluster."""
    dataset = bundled_dataset(WORKLOADS[name], cluster)
    starts, ends = [], []
    for _ in range(repeats + 1):
        run = labkit.train(
            name, labkit.Plan(dp=num_ranks), cluster, steps=2, dataset=dataset, evaluate=False
        )
        starts.append(run.record.attribution_s["startup"])
        ends.append(run.record.startup_s["first_step"])
    print(
        f"{name:<7} {num_ranks} ranks: call of train to start of first step, median "
        f"{median(starts[1:]):.3f} s (max {max(starts[1:]):.3f}); to its end, median "
        f"{median(ends[1:]):.3f} s (max {max(ends[1:]):.3f})",
        flush=True,
    )


def stop_time(cluster: Cluster, name: str, num_ranks: int, repeats: int) -> None:
    """Seconds from stop() to the end of the run."""
    times = []
    for _ in range(repeats):
        run = labkit.train(name, labkit.Plan(dp=num_ranks), cluster, steps=100_000)
        while len(run.view().steps) < 5:
            time.sleep(0.01)
        started = time.perf_counter()
        run.stop()
        run.wait(10)
        times.append(time.perf_counter() - started)
    print(f"{name:<7} {num_ranks} ranks: stop, median {median(times):.3f} s (max {max(times):.3f})")


def main(repeats: int, first_steps_only: bool) -> None:
    """Print the figures of the three questions."""
    with labkit.launch(4, device="cpu") as cluster:
        for name in WORKLOADS:
            for num_ranks in (2, 4):
                first_step(cluster, name, num_ranks, repeats)
        if first_steps_only:
            return
        stop_time(cluster, "fruit", 4, repeats)
        for name in WORKLOADS:
            for scaling in ("strong", "weak"):
                curve = sweep(
                    name,
                    cluster=cluster,
                    strategies=("data", "pipeline", "tensor"),
                    devices=(2,),
                    steps=24,
                    repeats=repeats,
                    scaling=scaling,
                )
                for point in curve.points:
                    print(
                        f"{name:<7} {scaling:<6} {point.strategy:<8} 2 ranks: efficiency "
                        f"{point.efficiency:.3f} ({point.speedup_low / 2:.3f} to "
                        f"{point.speedup_high / 2:.3f})"
                    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:] == ["first"])
