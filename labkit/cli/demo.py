"""``labkit demo``: the lab's main job without a browser."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli import options
from labkit.cli.clusters import check_devices, check_emulation, own_cluster
from labkit.cli.output import answer, say, tell_progress
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord


@click.command("demo")
@click.option("--devices", type=int, default=4, show_default=True, help="Workers to launch.")
@options.emulate
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("labkit-demo"),
    show_default=True,
    help="Folder for the pictures.",
)
@options.runs
@options.as_json
def demo_command(
    *, devices: int, emulate: str | None, out: Path, runs: Path, as_json: bool
) -> None:
    """Preprocess, train, sweep, draw."""
    from labkit.demo import run_demo
    from labkit.reports import demo_table
    from labkit.runs.curve_store import CurveStore
    from labkit.runs.store import RunStore
    from labkit.writable import check_folder

    check_devices(devices, None)
    check_emulation(emulate)
    for folder in (out, runs):
        check_folder(folder)
    tell, store, curves = tell_progress(), RunStore(runs), dict[str, Curve]()

    def keep(record: RunRecord) -> None:
        store.save(record)

    def update(curve: Curve) -> None:
        tell(curve)
        curves["last"] = curve

    with own_cluster(devices) as cluster:
        result = run_demo(cluster, out, say, update, emulate=emulate, on_record=keep)
    name = CurveStore(runs).save(curves["last"])
    say(f"records and curve in {runs}: {name}")
    answer({"sweep": name, **result}, as_json, lambda: demo_table(result))
