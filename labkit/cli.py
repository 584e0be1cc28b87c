"""The command line. The only place that prints: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click

from labkit.cluster.cluster import Cluster
from labkit.errors import LabError, SettingError
from labkit.plan import STRATEGIES, Plan, Schedule, Shard, Sync
from labkit.runs.curve import Curve, Scaling
from labkit.runs.sweep import DEFAULT_STEPS
from labkit.workload import WORKLOADS

DONE, FAILED, BAD_INPUT = 0, 1, 2


def say(text: str = "") -> None:
    """A line of progress for people, on standard error."""
    click.echo(text, err=True)


def answer(value: dict[str, Any], as_json: bool, table: Callable[[], str]) -> None:
    """The result on standard output: one JSON object, or a text for people."""
    click.echo(json.dumps(value, indent=2) if as_json else table())


@contextmanager
def own_cluster(num_workers: int, address: str | None) -> Iterator[Cluster]:
    """A cluster for one command, closed when it ends; with an address, the workers there."""
    from labkit.cluster.launch import launch

    with launch(num_workers if address is None else None, address=address) as cluster:
        say(cluster.why)
        yield cluster


def check_devices(needed: int, address: str | None) -> None:
    """Refuse a count of devices that this host cannot give, before anything starts."""
    from labkit.cluster.capacity import most_workers

    if needed < 1:
        raise SettingError(f"devices={needed} is not a count; choose a number >= 1")
    if address is None and needed > most_workers():
        raise SettingError(
            f"{needed} devices but {most_workers()} are available on this machine; choose at most "
            f"{most_workers()}, or give the --address of a larger cluster"
        )


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers separated by commas, such as ``1,2,4``."""

    name = "n,n,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 1,2,4", param, ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
address = click.option("--address", help="Use the Dask scheduler that runs there.")
workload = click.option(
    "--workload", required=True, metavar="NAME", help=f"One of {', '.join(WORKLOADS)}."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="labkit")
@click.option("-v", "--verbose", is_flag=True, help="Log what the engine does.")
def cli(verbose: bool) -> None:
    """The interactive distributed training lab."""
    handler = logging.StreamHandler(sys.stderr)
    # On the handler: distributed sets the levels of its own loggers.
    handler.setLevel(logging.INFO if verbose else logging.WARNING)
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", handlers=[handler])
    logging.getLogger("labkit").setLevel(logging.INFO if verbose else logging.WARNING)


@cli.command("open")
@click.argument("notebook", required=False)
@click.option("--port", type=int, help="Port of the server; a free one by default.")
@click.option("--browser/--no-browser", default=True, help="Open a browser window.")
def open_command(notebook: str | None, port: int | None, browser: bool) -> None:
    """Open JupyterLab on a NOTEBOOK: token on, loopback only."""
    from labkit.open_lab import open_lab

    sys.exit(open_lab(notebook, port=port, browser=browser))


@cli.command("train")
@workload
@click.option("--dp", type=int, default=1, show_default=True, help="Data-parallel replicas.")
@click.option("--pp", type=int, default=1, show_default=True, help="Pipeline stages.")
@click.option("--tp", type=int, default=1, show_default=True, help="Tensor-parallel ranks.")
@click.option("--schedule", default="1f1b", show_default=True, help=" | ".join(get_args(Schedule)))
@click.option("--microbatches", type=int, help="Pieces of a replica's batch.")
@click.option("--sync", default="all_reduce", show_default=True, help=" | ".join(get_args(Sync)))
@click.option("--shard", default="none", show_default=True, help=" | ".join(get_args(Shard)))
@click.option("--steps", type=int, help="Optimiser steps; 100 by default.")
@click.option("--epochs", type=int, help="Passes over the training samples, instead of steps.")
@click.option("--global-batch", type=int, help="Samples of a step over all replicas.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of weights and data order.")
@click.option("--devices", type=int, help="Workers to launch; as many as the plan needs.")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that keeps the record.",
)
@address
@as_json
def train_command(
    *,
    workload: str,
    steps: int | None,
    epochs: int | None,
    global_batch: int | None,
    seed: int,
    devices: int | None,
    runs: Path,
    address: str | None,
    as_json: bool,
    **split: Any,
) -> None:
    """Train a workload under a plan and print its record."""
    from labkit.cluster.capacity import most_workers
    from labkit.reports import check_folder, train_table
    from labkit.runs.store import save_record
    from labkit.train.train import check_length, train
    from labkit.workload import find_workload

    chosen = find_workload(workload).with_settings(seed=seed)
    if global_batch is not None:
        chosen = chosen.with_settings(global_batch=global_batch)
    plan = Plan(**split)
    check_length(steps, epochs)
    if devices is not None:
        check_devices(devices, address)
    plan.validate(chosen, None if address else devices or most_workers())
    check_folder(runs)
    with own_cluster(devices or plan.world_size, address) as cluster:
        run = train(chosen, plan, cluster, steps=steps, epochs=epochs)
        try:
            record = run.wait()
        except KeyboardInterrupt:
            run.stop()
            record = run.wait()
    folder = save_record(record, runs)
    say(f"record: {folder}")
    answer(record.to_json(), as_json, lambda: train_table(record))


@cli.command("sweep")
@workload
@click.option(
    "--strategies", default=",".join(STRATEGIES), show_default=True, help="Lines of the curve."
)
@click.option(
    "--devices", type=Numbers(), default=(1, 2, 4), show_default="1,2,4", help="Device counts."
)
@click.option("--repeats", type=int, default=3, show_default=True, help="Runs of each point.")
@click.option("--scaling", default="strong", show_default=True, help=" | ".join(get_args(Scaling)))
@click.option("--steps", type=int, default=DEFAULT_STEPS, show_default=True, help="Of each run.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the picture.")
@address
@as_json
def sweep_command(
    *,
    workload: str,
    strategies: str,
    devices: tuple[int, ...],
    repeats: int,
    scaling: Scaling,
    steps: int,
    out: Path | None,
    address: str | None,
    as_json: bool,
) -> None:
    """Measure the speedup of strategies over device counts."""
    from labkit.cluster.capacity import most_workers
    from labkit.reports import check_folder, curve_table, save_figure
    from labkit.runs.sweep import check_sweep, plan_sweep, sweep

    names = tuple(name.strip() for name in strategies.split(",") if name.strip())
    limit = most_workers() if address is None else None
    plan_sweep(workload, names, devices, scaling=scaling, num_workers=limit)
    check_sweep(steps, repeats)
    if out is not None:
        check_folder(out)
    with own_cluster(max(devices), address) as cluster:
        curve = sweep(
            workload,
            cluster=cluster,
            strategies=names,
            devices=devices,
            steps=steps,
            repeats=repeats,
            scaling=scaling,
            on_update=_tell_progress(),
        )
    if out is not None:
        from labkit.figures.speedup import speedup_figure

        say(f"picture: {save_figure(speedup_figure(curve), out, 'speedup')}")
    answer(curve.to_json(), as_json, lambda: curve_table(curve))


def _tell_progress() -> Callable[[Curve], None]:
    """A callback that says each measurement once; strategies at one device share the baseline."""
    said: set[tuple[str, ...]] = set()

    def tell(curve: Curve) -> None:
        for point in curve.points:
            if point.runs in said:
                continue
            said.add(point.runs)
            name = point.strategy if point.devices > 1 else "baseline"
            say(
                f"repeat {len(point.runs)}/{curve.repeats}  {name:<8}  {point.devices:>2} "
                f"device{'s' if point.devices > 1 else ' '}  "
                f"{point.throughput_samples_per_s:>9,.0f} samples/s  speedup {point.speedup:.2f}"
            )

    return tell


@cli.command("preprocess")
@click.option("--source", "sources", multiple=True, required=True, help="A folder or file.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for shards.")
@click.option("--workers", type=int, default=2, show_default=True, help="Workers to launch.")
@address
@as_json
def preprocess_command(
    *, sources: tuple[str, ...], out: Path, workers: int, address: str | None, as_json: bool
) -> None:
    """Run the five steps on sources and write training shards."""
    from labkit.preprocess.preprocess import preprocess
    from labkit.preprocess.sources import check_sources
    from labkit.reports import preprocess_table

    if address is None:
        check_sources(sources)
    with own_cluster(workers, address) as cluster:
        dataset = preprocess(list(sources), cluster=cluster, out=out)
    report = dataset.to_json()
    answer(report, as_json, lambda: preprocess_table(report))


@cli.command("demo")
@click.option("--devices", type=int, default=4, show_default=True, help="Workers to launch.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("labkit-demo"),
    show_default=True,
    help="Folder for the pictures.",
)
@as_json
def demo_command(*, devices: int, out: Path, as_json: bool) -> None:
    """The lab's main job without a browser: preprocess, train, sweep, draw."""
    from labkit.demo import run_demo
    from labkit.reports import check_folder, demo_table

    check_devices(devices, None)
    check_folder(out)
    with own_cluster(devices, None) as cluster:
        result = run_demo(cluster, out, say, _tell_progress())
    answer(result, as_json, lambda: demo_table(result))


@cli.command("doctor")
@as_json
def doctor_command(as_json: bool) -> None:
    """Say what is here, and whether the lab can run."""
    from labkit.doctor import examine

    report = examine()
    answer(report.to_json(), as_json, lambda: "\n".join(report.lines()))
    sys.exit(DONE if report.ok else FAILED)


def main() -> None:
    """Entry point: bad input is one clear line and exit status 2, a failed run 1."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        command = f"labkit {' '.join(sys.argv[1:2])}".strip()
        say(f"Error: {error.format_message()} (see '{command} --help')")
        sys.exit(BAD_INPUT)
    except LabError as error:
        say(f"Error: {error}")
        sys.exit(BAD_INPUT if isinstance(error, ValueError) else FAILED)
    except (KeyboardInterrupt, click.Abort):
        say("stopped")
        sys.exit(130)
