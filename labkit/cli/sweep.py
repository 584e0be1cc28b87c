"""``labkit sweep``: the speedup of strategies over device counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from labkit.cli import options
from labkit.cli.clusters import check_emulation, own_cluster
from labkit.cli.live_lines import telling_place
from labkit.cli.output import answer, say, tell_progress
from labkit.plan import STRATEGIES
from labkit.runs.curve import Scaling
from labkit.runs.record import RunRecord


@click.command("sweep")
@options.workload
@click.option(
    "--strategies",
    default=",".join(STRATEGIES),
    show_default=True,
    help="Lines of the curve; also variants such as data+sync=ring.",
)
@click.option(
    "--devices",
    type=options.Numbers(),
    default=(1, 2, 4),
    show_default="1,2,4",
    help="Device counts.",
)
@click.option("--repeats", type=int, help="Runs of each point; 3, or 1 of an emulated one.")
@click.option("--scaling", default="strong", show_default=True, help=" | ".join(get_args(Scaling)))
@click.option("--steps", type=int, help="Of each run; 12, or 4 of an emulated one.")
@options.workload_options
@options.emulate
@options.time_scale
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the picture.")
@options.runs
@options.where
@options.queue_s
@options.as_json
def sweep_command(
    *,
    workload: str,
    strategies: str,
    devices: tuple[int, ...],
    repeats: int | None,
    scaling: Scaling,
    steps: int | None,
    emulate: str | None,
    time_scale: float | None,
    out: Path | None,
    runs: Path,
    where: options.Where,
    queue_s: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Measure the speedup of strategies over device counts."""
    from labkit.cluster.capacity import most_workers
    from labkit.reports import curve_table, save_figure
    from labkit.runs.curve_store import CurveStore
    from labkit.runs.store import RunStore
    from labkit.runs.sweep import sweep
    from labkit.runs.sweep_plan import plan_sweep, sweep_length
    from labkit.train.train import check_queue
    from labkit.writable import check_folder

    chosen = options.workload_from(workload, settings)
    names = tuple(name.strip() for name in strategies.split(",") if name.strip())
    where.check()
    limit = most_workers() if where.address is None else None
    points = plan_sweep(chosen, names, devices, scaling=scaling, num_workers=limit)
    check_emulation(emulate, time_scale, [point.plan for point in points])
    sweep_length(steps, repeats, emulated=emulate is not None)
    check_queue(queue_s)
    for folder in (out, runs):
        if folder is not None:
            check_folder(folder)
    store = RunStore(runs)

    def keep(record: RunRecord) -> None:
        store.save(record)

    with (
        own_cluster(max(devices), where, queue_s) as cluster,
        telling_place(cluster, queue_s),
    ):
        curve = sweep(
            chosen,
            cluster=cluster,
            strategies=names,
            devices=devices,
            steps=steps,
            repeats=repeats,
            scaling=scaling,
            emulate=emulate,
            time_scale=time_scale,
            on_record=keep,
            on_update=tell_progress(),
            queue_s=queue_s,
        )
    name = CurveStore(runs).save(curve)
    say(f"records and curve in {runs}: {name}")
    if out is not None:
        from labkit.figures.speedup import speedup_figure

        say(f"picture: {save_figure(speedup_figure(curve), out, 'speedup')}")
    answer({"sweep": name, **curve.to_json()}, as_json, lambda: curve_table(curve))
