"""The parity table: every strategy, world size and workload against one process.

    python tests/benchmarks/parity_table.py [STEPS] [PRECISION] [WORKLOAD ...]

Prints the greatest relative difference of a loss over the steps, of the final weights and of the
last gradients (both relative to the greatest element of their array). Approximate strategies are
marked with a tilde.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import labkit
from labkit.errors import PlanError
from labkit.plan import Plan
from labkit.runs.parity import expected_difference, greatest_difference
from labkit.workload import WORKLOADS

WORLD_SIZES = (2, 4, 8)
GLOBAL_BATCH = 16
SHAPES = {2: (2, 1, 1), 4: (2, 2, 1), 8: (2, 2, 2)}


def plans(n: int) -> Iterator[tuple[str, Plan]]:
    """Every strategy on ``n`` ranks, by name."""
    data: dict[str, dict[str, Any]] = {
        "data: DDP": {},
        "data: accumulated": {"microbatches": 2},
        "data: ring by hand": {"sync": "ring"},
        "data: parameter server": {"sync": "parameter_server"},
        "data: average, every step": {"sync": "average", "sync_every": 1},
        "data: average, every 4": {"sync": "average"},
        "data: async server": {"sync": "async_parameter_server"},
        "data: fp16": {"compression": "fp16"},
        "data: bf16": {"compression": "bf16"},
        "data: PowerSGD": {"compression": "powersgd"},
        "data: shard optimizer": {"shard": "optimizer"},
        "data: shard gradients": {"shard": "gradients"},
        "data: shard parameters": {"shard": "parameters"},
        "data: features": {"split": "features"},
        "data: checkpointed": {"checkpoint_activations": True},
    }
    for name, settings in data.items():
        yield name, Plan(dp=n, **settings)
    for schedule in ("gpipe", "1f1b", "zero_bubble", "interleaved1f1b"):
        yield f"pipeline: {schedule}", Plan(pp=n, schedule=schedule, microbatches=n)  # type: ignore[arg-type]
    yield "pipeline: branches", Plan(pp=n, placement="branches")
    yield "tensor: by hand", Plan(tp=n)
    yield "tensor: DTensor", Plan(tp=n, tensor_style="dtensor")
    yield "tensor: sequence", Plan(tp=n, sequence_parallel=True)
    if n > 2:
        dp = n // 2
        yield "hybrid: data x pipeline", Plan(dp=dp, pp=2, microbatches=2)
        yield "hybrid: data x tensor", Plan(dp=dp, tp=2)
        yield "hybrid: pipeline x tensor", Plan(pp=2, tp=dp, microbatches=2)
    if n == 8:
        yield "hybrid: 2 x 2 x 2", Plan(dp=2, pp=2, tp=2, microbatches=2)


def main() -> None:
    """Train each combination that is possible, and print how far it is from one process."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    precision = sys.argv[2] if len(sys.argv) > 2 else "float32"
    print(
        f"{'strategy':<28}{'ranks':>6} {'workload':<10}{'loss':>10}{'weights':>10}{'gradients':>10}"
    )
    with labkit.launch(max(WORLD_SIZES), device="cpu") as cluster:
        for workload_name in sys.argv[3:] or WORKLOADS:
            workload = WORKLOADS[workload_name].with_settings(
                global_batch=GLOBAL_BATCH, precision=precision
            )
            settings: dict[str, Any] = {"steps": steps, "evaluate": False, "keep_weights": True}
            single = labkit.train(workload, Plan(), cluster, **settings)
            for n in WORLD_SIZES:
                for name, plan in plans(n):
                    try:
                        run = labkit.train(workload, plan, cluster, **settings)
                        run.wait()
                    except PlanError:
                        continue
                    loss = max(
                        abs(a - b) / abs(b) for a, b in zip(run.losses, single.losses, strict=True)
                    )
                    exact = expected_difference(plan, workload)[0] is not None
                    print(
                        f"{name:<28}{n:>6} {workload_name:<10}{'' if exact else '~'}{loss:>9.1e}"
                        f"{greatest_difference(run.weights, single.weights):>10.1e}"
                        f"{greatest_difference(run.gradients, single.gradients):>10.1e}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
