"""DDP with 2 ranks: the lab against torchrun, alternating, with ratios from one session.

Prints, per workload, how fast two ways are over torchrun: (a) the same bare function on the lab's
ranks, which is what the lab's launcher costs, and (b) ``labkit.train`` with its spans, loss reports
and live events. Two figures each: the median over repeats of the ratio of samples per second, which
other work on the machine disturbs; and the ratio of the median steps of all repeats, which it
disturbs less, but which does not see what is done in few steps only, such as reports. The three
take turns, each repeat in another order, and each begins after a rest: torchrun starts with seconds
of imports on one core, and a processor that has just worked on all of its cores may be slower.

    python tests/benchmarks/bench_against_torchrun.py [REPEATS] [WORKLOAD ...]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from statistics import median

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.fork_client import without_worker_malloc
from labkit.cluster.rank_context import RankContext
from labkit.preprocess.dataset import Dataset
from labkit.preprocess.preprocess import dataset_for

LOOP = Path(__file__).with_name("ddp_loop.py")
TORCHRUN = Path(sys.executable).with_name("torchrun")
STEPS = {"fruit": 240, "text": 40, "digits": 200}  # of fruit, the first dozens are slower
WARMUP = 5
REST_S = 3.0
TORCHRUN_NAME, FUNCTION, TRAIN = "torchrun", "same function", "labkit.train"


def bare_on_lab(context: RankContext, name: str, folder: str, steps: int) -> list[float]:
    """The bare loop on a rank of the lab."""
    sys.path.insert(0, str(LOOP.parent))
    from ddp_loop import train_bare

    return train_bare(context.rank, context.world_size, name, folder, steps, WARMUP)


def under_torchrun(name: str, folder: str, steps: int) -> list[float]:
    """The bare loop under torchrun."""
    command = [str(TORCHRUN), "--standalone", "--nproc-per-node=2", str(LOOP)]
    with tempfile.TemporaryDirectory() as scratch:  # torchrun leaves its logs behind
        done = subprocess.run(
            [*command, name, folder, str(steps), str(WARMUP)],
            env={
                **without_worker_malloc(os.environ),  # Dask leaves them behind in this process
                "OMP_NUM_THREADS": "1",
                "GLOO_SOCKET_IFNAME": "lo",
                "TMPDIR": scratch,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def in_lab(cluster: Cluster, name: str, dataset: Dataset, steps: int) -> list[float]:
    """The lab's own training."""
    run = labkit.train(
        name, labkit.Plan(dp=2), cluster, steps=steps, dataset=dataset, evaluate=False
    )
    return [step.seconds for step in run.record.steps[WARMUP:]]


def compare(cluster: Cluster, name: str, repeats: int) -> None:
    """Run the three in turn and print how fast two of them are over the first."""
    dataset = dataset_for(name, cluster=cluster)
    folder, steps = str(dataset.folder), STEPS[name]
    ways: dict[str, Callable[[], list[float]]] = {
        TORCHRUN_NAME: lambda: under_torchrun(name, folder, steps),
        FUNCTION: lambda: cluster.run_ranks(bare_on_lab, 2, name, folder, steps)[0],
        TRAIN: lambda: in_lab(cluster, name, dataset, steps),
    }
    seconds: dict[str, list[list[float]]] = {way: [] for way in ways}
    order = list(ways)
    for _ in range(repeats):
        for way in order:
            time.sleep(REST_S)
            seconds[way].append(ways[way]())
        order.append(order.pop(0))
    typical = {way: median(chain.from_iterable(runs)) for way, runs in seconds.items()}
    for way in (FUNCTION, TRAIN):
        ratios = [
            sum(theirs) / sum(ours)
            for theirs, ours in zip(seconds[TORCHRUN_NAME], seconds[way], strict=True)
        ]
        print(
            f"{name:<7} {way:<14} / torchrun: median {median(ratios):.3f} "
            f"(min {min(ratios):.3f}, max {max(ratios):.3f}, n {repeats}); "
            f"median step {typical[TORCHRUN_NAME] / typical[way]:.3f} "
            f"({1e3 * typical[way]:.1f} ms)",
            flush=True,
        )


def main() -> None:
    """Compare on each workload that was asked for."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with labkit.launch(2, device="cpu") as cluster:
        for name in sys.argv[2:] or STEPS:
            compare(cluster, name, repeats)


if __name__ == "__main__":
    main()
