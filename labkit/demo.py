"""The lab's main job in one call: three raw sources to a speedup curve."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.cluster.cluster import Cluster
from labkit.errors import PlanError
from labkit.plan import STRATEGIES
from labkit.plan_for import plan_for
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord
from labkit.runs.sweep import sweep
from labkit.runs.sweep_plan import plan_sweep

WORKLOAD = "fruit"
TRAIN_STEPS = 40
ROWS = 20_000


def run_demo(
    cluster: Cluster,
    out: Path,
    say: Callable[[str], None],
    on_update: Callable[[Curve], None] | None = None,
    *,
    emulate: str | None = None,
    on_record: Callable[[RunRecord], None] | None = None,
) -> dict[str, Any]:
    """Preprocess the fruit data, train on it with every strategy, measure the speedup, draw.

    Args:
        cluster: at least one worker; the sweep goes to the greatest power of two that fits.
        out: folder for the pictures, made if it is not there.
        say: takes one line of progress.
        on_update: takes the curve whenever a point has changed.
        emulate: a declared device whose speed the sweep's ranks keep; ``None`` measures. The
            training before it is measured in any case.
        on_record: takes the record of each run.
    Returns:
        The ``demo`` object of the JSON contract: the sweep's, and ``preprocess``, ``accuracy``,
        ``training``, ``files``, ``seconds``.
    """
    from labkit.figures.attribution import attribution_figure
    from labkit.figures.loss import loss_figure
    from labkit.figures.preprocessing import preprocessing_figure
    from labkit.figures.speedup import speedup_figure
    from labkit.figures.timeline import timeline_figure
    from labkit.preprocess.preprocess import preprocess
    from labkit.reports import save_figure
    from labkit.train.train import train

    started = time.perf_counter()
    say(f"preprocessing {ROWS:,} fruit from three sources")
    dataset = preprocess(cluster=cluster, rows=ROWS)
    report = dataset.to_json()
    devices = device_counts(cluster.num_workers)
    if devices[-1] < cluster.num_workers:
        say(f"{devices[-1]} of {cluster.num_workers} devices: what every strategy can be split by")
    plan = plan_for("hybrid", devices[-1])
    say(f"training {WORKLOAD} for {TRAIN_STEPS} steps: {plan.strategy} on {plan.world_size}")
    record = train(WORKLOAD, plan, cluster, steps=TRAIN_STEPS, dataset=dataset).wait()
    if on_record is not None:
        on_record(record)
    how = "speedup" if emulate is None else f"speedup, emulating {emulate},"
    say(f"{how} of {', '.join(STRATEGIES)} on {', '.join(map(str, devices))} devices")
    curve = sweep(
        WORKLOAD,
        cluster=cluster,
        devices=devices,
        dataset=dataset,
        emulate=emulate,
        on_record=on_record,
        on_update=on_update,
    )
    figures = {
        "preprocessing": preprocessing_figure(report),
        "loss": loss_figure(record),
        "timeline": timeline_figure(record),
        "attribution": attribution_figure(record),
        "speedup": speedup_figure(curve),
    }
    files = [str(save_figure(figure, out, name)) for name, figure in figures.items()]
    return {
        **curve.to_json(),
        "preprocess": report,
        "training": record.to_json(),
        "accuracy": record.accuracy,
        "files": files,
        "seconds": time.perf_counter() - started,
    }


def device_counts(num_workers: int) -> tuple[int, ...]:
    """The counts 1, 2, 4, ... up to the workers on which every strategy has a plan that fits."""
    counts = [2**n for n in range(num_workers.bit_length()) if 2**n <= num_workers]
    return tuple(count for count in counts if _fits(count))


def _fits(count: int) -> bool:
    try:
        plan_sweep(WORKLOAD, STRATEGIES, (count,))
    except PlanError:
        return False
    return True
