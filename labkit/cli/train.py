"""``labkit train``: one run under one plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from labkit.cli import options
from labkit.cli.clusters import check_devices, check_emulation, own_cluster, wait_or_stop
from labkit.cli.output import answer, say


@click.command("train")
@options.workload
@options.plan_options
@click.option("--steps", type=int, help="Optimiser steps; 100 by default.")
@click.option("--epochs", type=int, help="Passes over the training samples, instead of steps.")
@options.workload_options
@options.emulate
@options.time_scale
@click.option("--devices", type=int, help="Workers to launch; as many as the plan needs.")
@options.runs
@options.address
@options.as_json
def train_command(
    *,
    workload: str,
    steps: int | None,
    epochs: int | None,
    emulate: str | None,
    time_scale: float | None,
    devices: int | None,
    runs: Path,
    address: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a workload under a plan and print its record."""
    from labkit.cluster.capacity import most_workers
    from labkit.reports import check_folder, train_table
    from labkit.runs.store import RunStore
    from labkit.train.train import check_length, train

    chosen = options.workload_from(workload, settings)
    plan = options.plan_from(settings)
    check_length(steps, epochs)
    check_emulation(emulate, time_scale, [plan])
    if devices is not None:
        check_devices(devices, address)
    plan.validate(chosen, None if address else devices or most_workers())
    check_folder(runs)
    with own_cluster(devices or plan.world_size, address) as cluster:
        run = train(
            chosen,
            plan,
            cluster,
            steps=steps,
            epochs=epochs,
            emulate=emulate,
            time_scale=time_scale,
        )
        record = wait_or_stop(run)
    say(f"record: {RunStore(runs).save(record)}")
    answer(record.to_json(), as_json, lambda: train_table(record))
