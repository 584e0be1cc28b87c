"""DDP with 2 ranks: the lab against torchrun, alternating, with ratios from one session.

Prints, per workload, the median ratio of samples per second to torchrun's of (a) the same bare
function on the lab's ranks, which is what the lab's launcher costs, and (b) ``labkit.train`` with
its spans, loss reports and live events.

    python tests/benchmarks/bench_against_torchrun.py [REPEATS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import labkit
from labkit.cluster.cluster import Cluster
from labkit.cluster.rank_context import RankContext
from labkit.cluster.rank_owner import without_worker_malloc
from labkit.preprocess.dataset import Dataset
from labkit.preprocess.preprocess import dataset_for

LOOP = Path(__file__).with_name("ddp_loop.py")
TORCHRUN = Path(sys.executable).with_name("torchrun")
STEPS = {"fruit": 40, "text": 40, "digits": 200}
WARMUP = 5


def bare_on_lab(context: RankContext, name: str, folder: str, steps: int) -> float:
    """The bare loop on a rank of the lab."""
    sys.path.insert(0, str(LOOP.parent))
    from ddp_loop import train_bare

    return train_bare(context.rank, context.world_size, name, folder, steps, WARMUP)


def under_torchrun(name: str, folder: str, steps: int) -> float:
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
    return float(json.loads(done.stdout.splitlines()[-1]))


def in_lab(cluster: Cluster, name: str, dataset: Dataset, steps: int) -> float:
    """The lab's own training."""
    run = labkit.train(
        name, labkit.Plan(dp=2), cluster, steps=steps, dataset=dataset, evaluate=False
    )
    measured = run.record.steps[WARMUP:]
    return sum(s.samples for s in measured) / sum(s.seconds for s in measured)


def main(repeats: int) -> None:
    """Alternate the three, print medians of ratios taken within each repeat."""
    with labkit.launch(2, device="cpu") as cluster:
        for name, steps in STEPS.items():
            dataset = dataset_for(name, cluster=cluster)
            ratios: dict[str, list[float]] = {"same function": [], "labkit.train": []}
            for _ in range(repeats):
                torchrun = under_torchrun(name, str(dataset.folder), steps)
                same = cluster.run_ranks(bare_on_lab, 2, name, str(dataset.folder), steps)[0]
                ratios["same function"].append(same / torchrun)
                ratios["labkit.train"].append(in_lab(cluster, name, dataset, steps) / torchrun)
            for what, values in ratios.items():
                print(
                    f"{name:<7} {what:<14} / torchrun: median {median(values):.3f} "
                    f"(min {min(values):.3f}, max {max(values):.3f}, n {len(values)})"
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
