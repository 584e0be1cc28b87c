"""``labkit train``: one run under one plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from labkit.cli import options
from labkit.cli.clusters import check_devices, check_emulation, own_cluster, wait_and_keep
from labkit.cli.live_lines import telling_place
from labkit.cli.output import answer
from labkit.cluster.supervision import OnFailure
from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.runs.restart_policy import MAX_RESTARTS, RestartPolicy
from labkit.workload import Workload


@click.command("train")
@options.workload_or_resumed
@options.plan_options
@click.option("--steps", type=int, help="Optimiser steps in all; 100 by default.")
@click.option("--epochs", type=int, help="Passes over the training samples, instead of steps.")
@options.workload_options
@options.emulate
@options.time_scale
@click.option("--devices", type=int, help="Workers to launch; as many as the plan needs.")
@click.option(
    "--checkpoint-every",
    type=int,
    metavar="N",
    help="Write a checkpoint every N steps and at the end; by time without, never with 0.",
)
@click.option(
    "--max-restarts",
    type=int,
    default=MAX_RESTARTS,
    show_default=True,
    help="How often the run goes on by itself after a rank died or hung.",
)
@click.option(
    "--on-failure",
    type=click.Choice(get_args(OnFailure)),
    default="replace",
    show_default=True,
    help="Go on with as many ranks, or with the replicas that are left.",
)
@options.runs
@options.where
@options.queue_s
@options.as_json
def train_command(
    *,
    workload: str | None,
    resume: str | None,
    steps: int | None,
    epochs: int | None,
    emulate: str | None,
    time_scale: float | None,
    devices: int | None,
    checkpoint_every: int | None,
    max_restarts: int,
    on_failure: OnFailure,
    runs: Path,
    where: options.Where,
    queue_s: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a workload under a plan and print its record; or go on with a RUN that was cut off."""
    from labkit.cli.run_report import train_table
    from labkit.cluster.capacity import most_workers
    from labkit.runs.store import RunStore
    from labkit.train.resume_check import check_every
    from labkit.train.train import check_length, check_queue, train
    from labkit.writable import check_folder

    where.check("--devices", devices)
    chosen, plan = _what(workload, resume, runs, settings)
    check_length(steps, epochs)
    check_every(checkpoint_every)
    check_queue(queue_s)
    RestartPolicy(max_restarts=max_restarts, on_failure=on_failure)
    check_emulation(emulate, time_scale, [plan])
    if devices is not None:
        check_devices(devices, where.address)
    plan.validate(chosen, None if where.address else devices or most_workers())
    check_folder(runs)
    with own_cluster(devices or plan.world_size, where, queue_s) as cluster:
        with telling_place(cluster, queue_s):
            run = train(
                chosen,
                plan,
                cluster,
                steps=steps,
                epochs=epochs,
                emulate=emulate,
                time_scale=time_scale,
                checkpoint_every=checkpoint_every,
                max_restarts=max_restarts,
                on_failure=on_failure,
                resume=resume,
                runs=runs,
                queue_s=queue_s,
            )
        record = wait_and_keep(run, RunStore(runs), as_json=as_json)
    answer(record.to_json(), as_json, lambda: train_table(record))


def _what(
    workload: str | None, resume: str | None, runs: Path, settings: dict[str, Any]
) -> tuple[Workload, Plan]:
    """The workload and the plan: of the options, or of the checkpoint where none is given."""
    from labkit.runs.kept_checkpoints import find_saved
    from labkit.train.resume_check import saved_workload

    plan = options.plan_from(settings)
    if resume is None:
        if workload is None:
            raise SettingError("nothing to train; give --workload NAME, or --resume RUN")
        return options.workload_from(workload, settings), plan
    saved = find_saved(resume, runs)
    if workload is None:
        chosen = options.with_settings(saved_workload(saved), settings)
    else:
        chosen = options.workload_from(workload, settings)
    return chosen, plan if options.plan_is_given() else Plan.from_dict(saved.plan)
