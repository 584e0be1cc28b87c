"""Two hosts joined by a slow link: pure data-parallel against a model split inside each host.

    sudo python tests/benchmarks/bench_hosts.py [MBIT_PER_S ...]

Two network namespaces with two workers each (see ``tests/hosts``), whose links are limited to each
rate in turn. The model has many parameters for what it computes, so its gradients are what the link
has to carry. Steps are measured, not emulated; all ranks share this machine's cores, which bounds
the speedup from above whatever the link.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from torch import nn

import labkit
from labkit.cluster.cluster import Cluster
from labkit.train.models.fruit import perceptron
from labkit.workload import Workload

sys.path.insert(0, str(Path(__file__).parents[1] / "hosts"))
from dask_on_hosts import start_dask
from namespaces import Network, why_not

RATES_MBIT = (1000.0, 100.0, 20.0)
STEPS = 8
PLANS = {
    "data 4": labkit.Plan(dp=4),
    "data 2 x pipeline 2": labkit.Plan(dp=2, pp=2, microbatches=4),
    "data 2 x tensor 2": labkit.Plan(dp=2, tp=2),
    "pipeline 4": labkit.Plan(pp=4, microbatches=8),
}
WIDTH, BLOCKS = 384, 4


def build(input_shape: Sequence[int], num_classes: int) -> nn.Sequential:
    """The fruit model, wider: 1.2 million parameters, 4.7 MB of gradients."""
    return perceptron("wide", input_shape, num_classes, width=WIDTH, num_blocks=BLOCKS)


def step_time(cluster: Cluster, workload: Workload, plan: labkit.Plan) -> float:
    """Median seconds of a step after the warm-up."""
    run = labkit.train(workload, plan, cluster, steps=STEPS, evaluate=False)
    record = run.wait(600.0)
    return median(step.seconds for step in record.measured_steps)


def main(rates_mbit: Sequence[float]) -> None:
    """Print the table of strategies and rates."""
    with Network(2) as network:
        address = start_dask(network, 2)
        with labkit.launch(4, address=address, trusted_network=network.cidr) as cluster:
            wide = Workload.of(build, dataset="fruit", name="wide", global_batch=256)
            alone_s = step_time(cluster, wide, labkit.Plan())
            print(
                f"one device: {alone_s * 1000:.0f} ms a step; {os.cpu_count()} cores for all ranks"
            )
            print(f"load average before: {os.getloadavg()[0]:.1f}\n")
            head = "".join(f"{name:>28}" for name in PLANS)
            print(f"{'link':<14}{head}{'hybrid : data':>16}")
            for rate in rates_mbit:
                for host in network.hosts:
                    host.limit(rate * 1e6)
                times = {name: step_time(cluster, wide, plan) for name, plan in PLANS.items()}
                cells = "".join(
                    f"{f'{s * 1000:.0f} ms, speedup {alone_s / s:.2f}':>28}" for s in times.values()
                )
                hybrid = min(times["data 2 x pipeline 2"], times["data 2 x tensor 2"])
                won = times["data 4"] / hybrid
                print(f"{f'{rate:g} Mbit/s':<14}{cells}{won:>15.2f}x", flush=True)


if __name__ == "__main__":
    reason = why_not()
    if reason:
        sys.exit(f"no hosts to measure on: {reason}")
    main([float(rate) for rate in sys.argv[1:]] or RATES_MBIT)
