"""How soon a run starts, how well two ranks use two cores, how soon a run stops.

python tests/benchmarks/bench_training.py [REPEATS]
"""

from __future__ import annotations

import sys
import time
from statistics import median

import labkit
from labkit.cluster.cluster import Cluster
from labkit.preprocess.preprocess import dataset_for
from labkit.runs.sweep import sweep


def first_step(cluster: Cluster, name: str, num_ranks: int, repeats: int) -> None:
    """Seconds from the call of train to the end of the first step, on a warm cluster."""
    dataset = dataset_for(name, cluster=cluster)
    times = []
    for _ in range(repeats + 1):
        run = labkit.train(
            name, labkit.Plan(dp=num_ranks), cluster, steps=2, dataset=dataset, evaluate=False
        )
        times.append(run.record.startup_s["first_step"])
    warm = times[1:]
    print(
        f"{name:<7} {num_ranks} ranks: call of train to end of first step, median "
        f"{median(warm):.3f} s (max {max(warm):.3f})"
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


def main(repeats: int) -> None:
    """Print the figures of the three questions."""
    with labkit.launch(4, device="cpu") as cluster:
        for name in labkit.workload.WORKLOADS:
            for num_ranks in (2, 4):
                first_step(cluster, name, num_ranks, repeats)
        stop_time(cluster, "fruit", 4, repeats)
        for name in labkit.workload.WORKLOADS:
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
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
