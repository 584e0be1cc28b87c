"""``labkit runs``: what was kept. List, show, compare, export, note, delete, repeat.

Runs that are live on a scheduler: see ``live_runs``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import click

from labkit.cli import options
from labkit.cli.clusters import check_devices, own_cluster, wait_and_keep
from labkit.cli.live_runs import follow_command, live_command, stop_command
from labkit.cli.output import answer
from labkit.errors import SettingError

Command = TypeVar("Command", bound=Any)


class _ListByDefault(click.Group):
    """A group that lists when no command is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group("runs", cls=_ListByDefault)
def runs_group() -> None:
    """The runs that were kept; a RUN may be shortened to a beginning that no other has."""


for live in (live_command, follow_command, stop_command):
    runs_group.add_command(live)


def _stored(command: Command) -> Command:
    """The options that all these commands have."""
    return options.runs(options.as_json(command))


@runs_group.command("list")
@_stored
def list_command(*, runs: Path, as_json: bool) -> None:
    """All runs and sweeps, newest first; damaged ones are said to be."""
    from labkit.cli.run_tables import list_table
    from labkit.runs.curve_store import CurveStore
    from labkit.runs.store import RunStore

    entries, sweeps = RunStore(runs).list(), CurveStore(runs).list()
    listed = {
        "runs": [entry.to_json() for entry in entries],
        "sweeps": [sweep.to_json() for sweep in sweeps],
    }
    answer(listed, as_json, lambda: list_table(entries, sweeps, str(runs)))


@runs_group.command("show")
@click.argument("run")
@_stored
def show_command(*, run: str, runs: Path, as_json: bool) -> None:
    """One RUN, or one sweep, in full."""
    from labkit.cli.run_report import train_table
    from labkit.reports import curve_table
    from labkit.runs.curve_store import CurveStore
    from labkit.runs.store import RunStore

    if _is_sweep(run):
        curve = CurveStore(runs).load(run)
        answer(curve.to_json(), as_json, lambda: curve_table(curve))
        return
    store = RunStore(runs)
    record, note = store.load(run), store.note_of(run)
    more = ("repeats", "dataset", "num_samples", "devices", "host", "versions")
    shown = record.to_json() | {name: getattr(record, name) for name in more} | {"note": note}
    text = train_table(record) + (f"\nnote: {note}" if note else "")
    answer(shown, as_json, lambda: text)


@runs_group.command("compare")
@click.argument("which", nargs=-1, required=True, metavar="RUN...")
@_stored
def compare_command(*, which: tuple[str, ...], runs: Path, as_json: bool) -> None:
    """RUNs side by side, or several sweeps; speedup is over the first."""
    from labkit.cli.run_tables import compare_curves_table, compare_table
    from labkit.runs.compare import compare
    from labkit.runs.curve_store import CurveStore
    from labkit.runs.store import RunStore

    if all(_is_sweep(name) for name in which):
        curves = [(name, CurveStore(runs).load(name)) for name in which]
        compared = {"sweeps": [{"sweep": name, **curve.to_json()} for name, curve in curves]}
        answer(compared, as_json, lambda: compare_curves_table(curves))
        return
    if any(_is_sweep(name) for name in which):
        raise SettingError("runs and sweeps cannot be compared; give runs only, or sweeps only")
    comparison = compare([RunStore(runs).load(name) for name in which])
    answer(comparison.to_json(), as_json, lambda: compare_table(comparison))


@runs_group.command("export")
@click.argument("run")
@click.option("--format", "form", default="csv", show_default=True, help="csv | chrome")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the files.")
@_stored
def export_command(*, run: str, form: str, out: Path, runs: Path, as_json: bool) -> None:
    """RUN as tables (csv), or as a trace for ui.perfetto.dev (chrome)."""
    from labkit.runs.export import TRACE_FILE, save_chrome_trace, to_csv
    from labkit.runs.store import RunStore
    from labkit.writable import check_folder

    if form not in ("csv", "chrome"):
        raise SettingError(f"format={form!r} is unknown; choose csv or chrome")
    check_folder(out)
    record = RunStore(runs).load(run)
    if form == "csv":
        files = [str(path) for path in to_csv(record, out)]
    else:
        files = [str(save_chrome_trace(record, out / TRACE_FILE))]
    answer({"run": record.run, "format": form, "files": files}, as_json, lambda: "\n".join(files))


@runs_group.command("note")
@click.argument("run")
@click.argument("text")
@_stored
def note_command(*, run: str, text: str, runs: Path, as_json: bool) -> None:
    """Write TEXT beside RUN; an empty one removes what is there."""
    from labkit.runs.store import RunStore

    store = RunStore(runs)
    name = store.note(run, text)
    note = store.note_of(name)
    answer({"run": name, "note": note}, as_json, lambda: f"{name}: {note or 'no note'}")


@runs_group.command("delete")
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_stored
def delete_command(*, run: str, yes: bool, runs: Path, as_json: bool) -> None:
    """Delete RUN, or a sweep without its runs."""
    from labkit.runs.curve_store import CurveStore
    from labkit.runs.store import RunStore

    store, sweeps = RunStore(runs), CurveStore(runs)
    name = sweeps.name_of(run) if _is_sweep(run) else store.folder_of(run).name
    if not yes and not _confirmed(f"delete {name} for good?"):
        answer({"deleted": None}, as_json, lambda: f"{name} is kept")
        return
    deleted = sweeps.delete(name) if _is_sweep(name) else store.delete(name)
    answer({"deleted": deleted}, as_json, lambda: f"{deleted} is deleted")


@runs_group.command("repeat")
@click.argument("run")
@click.option("--single", is_flag=True, help="In one process, whatever the plan.")
@options.where
@_stored
def repeat_command(
    *,
    run: str,
    single: bool,
    where: options.Where,
    runs: Path,
    as_json: bool,
) -> None:
    """Train RUN once more and say how far the losses are apart."""
    from labkit.cli.run_tables import repeat_table
    from labkit.runs.repeat import loss_differences, repeat, stored_plan, stored_workload
    from labkit.runs.store import RunStore

    store = RunStore(runs)
    record = store.load(run)
    plan = stored_plan(record, single=single)
    plan.validate(stored_workload(record))
    where.check()
    check_devices(plan.world_size, where.address)
    with own_cluster(plan.world_size, where) as cluster:
        again = wait_and_keep(repeat(record, cluster, single=single), store, repeats=record.run)
    differences = loss_differences(record, again)
    answer(
        {**differences.to_json(), "single": single, "record": again.to_json()},
        as_json,
        lambda: repeat_table(differences, single),
    )


def _is_sweep(name: str) -> bool:
    from labkit.runs.curve_store import PREFIX

    return name.startswith(PREFIX.rstrip("-"))


def _confirmed(question: str) -> bool:
    """The user's answer; no answer at all, as in a script, is refused."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        raise SettingError("nobody answered; give --yes to delete without being asked") from None
