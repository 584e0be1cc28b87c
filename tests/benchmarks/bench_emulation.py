"""How close emulated runs come to the ideal of the declared device, on the wall.

    python tests/benchmarks/bench_emulation.py [STEPS] [PLAN ...]
    python tests/benchmarks/bench_emulation.py unpaced [STEPS] [PLAN ...]

Prints, for each plan, the time scale that the lab chose, the step on the wall over the ideal step
(formula or event simulation), the lateness that the run reports of itself, and whether its losses
are those of the unpaced run. With ``unpaced``: what a step costs on the wall when the pace never
sleeps, beside what ``labkit.project.time_scale`` predicts. Plans are named by a part of their name.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from statistics import median

import labkit
from labkit.cluster.cluster import Cluster
from labkit.emulate.device import find_device
from labkit.plan import Plan
from labkit.project.forecast import emulated_plan, forecast
from labkit.project.time_scale import real_work
from labkit.workload import WORKLOADS

DEVICE = "demo"
WORKLOAD = "deep"
HURRY = 1e-6  # a time scale at which every rank is late, and so never sleeps
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
    "data x tensor, 2 x 2": Plan(dp=2, tp=2),
    "data x tensor, 4 x 2": Plan(dp=4, tp=2),
    "data x pipeline x tensor, 2 x 2 x 2": Plan(dp=2, pp=2, tp=2, microbatches=4),
    "data x pipeline x tensor, 4 x 2 x 2": Plan(dp=4, pp=2, tp=2, microbatches=4),
}


def paced(cluster: Cluster, plans: Mapping[str, Plan], steps: int) -> None:
    """Run every plan once paced and once unpaced."""
    workload = WORKLOADS[WORKLOAD]
    print(
        f"{'plan':<38}{'scale':>7}{'wall / ideal':>14}{'lateness':>10}{'speedup':>9}{'ideal':>8}"
        "  losses"
    )
    one_s = None
    for name, plan in plans.items():
        record = labkit.train(
            workload, plan, cluster, steps=steps, evaluate=False, emulate=DEVICE
        ).wait()
        cuts = tuple(stage[0] for stage in record.stages[1:]) or None
        same = replace(Plan.from_dict(record.plan), cuts=cuts)
        unpaced = labkit.train(workload, same, cluster, steps=steps, evaluate=False).wait()
        one_s = one_s or record.step_time_s
        print(
            f"{name:<38}{record.emulation['time_scale']:>7.1f}"
            f"{record.step_time_s / record.ideal['step_time_s']:>14.4f}"
            f"{record.emulation['lateness']:>10.4f}{one_s / record.step_time_s:>9.2f}"
            f"{record.ideal['speedup']:>8.2f}  "
            f"{'identical' if unpaced.losses == record.losses else 'DIFFERENT'}",
            flush=True,
        )


def never_sleeping(cluster: Cluster, plans: Mapping[str, Plan], steps: int) -> None:
    """Run every plan with a pace that is always late, and predict what its step costs."""
    workload, device = WORKLOADS[WORKLOAD], find_device(DEVICE)
    print(f"{'plan':<38}{'step ms':>9}{'predicted':>11}{'ratio':>7}")
    for name, plan in plans.items():
        record = labkit.train(
            workload, plan, cluster, steps=steps, evaluate=False, emulate=device, time_scale=HURRY
        ).wait()
        wall_s = median(step.seconds for step in record.measured_steps) * HURRY
        (profile,) = cluster.profiles.values()
        emulated = emulated_plan(plan, profile)
        ideal = forecast(emulated, profile, workload, device=device).ideal
        assert ideal is not None
        work = real_work(emulated, profile, workload, ideal)
        predicted_s = work.wall_s(cluster.num_shared_cores)
        print(
            f"{name:<38}{1e3 * wall_s:>9.1f}{1e3 * predicted_s:>11.1f}{predicted_s / wall_s:>7.2f}",
            flush=True,
        )


def main() -> None:
    """Run the plans that were asked for."""
    asked = sys.argv[1:]
    measure = never_sleeping if asked[:1] == ["unpaced"] else paced
    words = asked[1:] if measure is never_sleeping else asked
    steps = int(words[0]) if words else 4
    plans = {
        name: plan
        for name, plan in PLANS.items()
        if not words[1:] or any(word in name for word in words[1:])
    }
    if not plans:
        sys.exit(f"no plan is called {' or '.join(words[1:])}; there are: {'; '.join(PLANS)}")
    with labkit.launch(NUM_WORKERS, device="cpu") as cluster:
        measure(cluster, plans, steps)


if __name__ == "__main__":
    main()
