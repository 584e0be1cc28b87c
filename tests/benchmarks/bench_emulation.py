"""How close emulated runs come to the ideal of the declared device, on the wall.

    python tests/benchmarks/bench_emulation.py [STEPS]

Prints, for each plan, the step on the wall over the ideal step (formula or event simulation), the
lateness that the run reports of itself, and whether its losses are those of the unpaced run.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import labkit
from labkit.plan import Plan
from labkit.workload import WORKLOADS

DEVICE = "demo"
NUM_WORKERS = 16

PLANS = {
    "one device": Plan(),
    **{f"data, overlapped, {n}": Plan(dp=n) for n in (2, 4, 8, 16)},
    **{f"tensor, {n}": Plan(tp=n) for n in (2, 4, 8)},
    **{
        f"{schedule}, {n}": Plan(pp=n, schedule=schedule, microbatches=2 * n)
        for schedule in ("gpipe", "1f1b", "zero_bubble")
        for n in (2, 4, 8, 16)
    },
    **{
        f"interleaved1f1b, {n}": Plan(
            pp=n, schedule="interleaved1f1b", virtual_stages=2, microbatches=2 * n
        )
        for n in (2, 4, 8, 16)
    },
    "data x pipeline, 2 x 2": Plan(dp=2, pp=2, microbatches=4),
    "data x pipeline, 4 x 2": Plan(dp=4, pp=2, microbatches=4),
    "data x tensor, 4 x 2": Plan(dp=4, tp=2),
    "data x pipeline x tensor, 2 x 2 x 2": Plan(dp=2, pp=2, tp=2, microbatches=4),
    "data x pipeline x tensor, 4 x 2 x 2": Plan(dp=4, pp=2, tp=2, microbatches=4),
}


def main() -> None:
    """Run every plan once paced and once unpaced."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    workload = WORKLOADS["deep"]
    print(f"{'plan':<38}{'wall / ideal':>14}{'lateness':>10}{'speedup':>9}{'ideal':>8}  losses")
    with labkit.launch(NUM_WORKERS, device="cpu") as cluster:
        one_s = None
        for name, plan in PLANS.items():
            record = labkit.train(
                workload, plan, cluster, steps=steps, evaluate=False, emulate=DEVICE
            ).wait()
            cuts = tuple(stage[0] for stage in record.stages[1:]) or None
            same = replace(Plan.from_dict(record.plan), cuts=cuts)
            unpaced = labkit.train(workload, same, cluster, steps=steps, evaluate=False).wait()
            one_s = one_s or record.step_time_s
            print(
                f"{name:<38}{record.step_time_s / record.ideal['step_time_s']:>14.4f}"
                f"{record.emulation['lateness']:>10.4f}{one_s / record.step_time_s:>9.2f}"
                f"{record.ideal['speedup']:>8.2f}  "
                f"{'identical' if unpaced.losses == record.losses else 'DIFFERENT'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
