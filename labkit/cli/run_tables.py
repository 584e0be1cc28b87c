"""Tables of the runs that were kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from labkit.cluster.place_in_line import ordinal
from labkit.cluster.posted_run import FoundRun
from labkit.reports import columns, describe_plan
from labkit.runs.compare import Comparison, Row
from labkit.runs.curve import Curve
from labkit.runs.curve_store import CurveEntry
from labkit.runs.repeat import LossDifferences
from labkit.runs.store import Entry

MINUTE = "%Y-%m-%d %H:%M"
SECOND = "%Y-%m-%d %H:%M:%S"
_WORDS = ("kind", "workload", "strategy", "strategies", "scaling", "plan", "status", "note")


def list_table(entries: Sequence[Entry], sweeps: Sequence[CurveEntry], folder: str) -> str:
    """Runs, then sweeps, newest first; damaged ones with what is wrong."""
    if not entries and not sweeps:
        return f"no runs in {folder}; labkit train, sweep and demo keep theirs there"
    tables = [_runs_table(entries)] if entries else []
    tables += [_sweeps_table(sweeps)] if sweeps else []
    damaged = [text for text in (*(e.damage for e in entries), *(s.damage for s in sweeps)) if text]
    return "\n\n".join([*tables, *(f"damaged: {text}" for text in damaged)])


def _runs_table(entries: Sequence[Entry]) -> str:
    rows: list[tuple[str, ...]] = [
        ("run", "when", "kind", "workload", "strategy", "plan", "devices", "status", "samples/s",
         "loss", "note"),
    ]  # fmt: skip
    for entry in entries:
        when = entry.when.strftime(MINUTE)
        if entry.damage:
            rows.append((entry.run, when, *[""] * 5, "DAMAGED", "", "", entry.note))
            continue
        rows.append(
            (
                entry.run,
                when,
                _kind(entry.kind, entry.emulation.get("device", ""), entry.emulation),
                entry.workload,
                entry.strategy,
                describe_plan(entry.plan),
                str(entry.devices),
                entry.status,
                f"{entry.throughput_samples_per_s:,.0f}",
                _number(entry.final_loss, "{:.4f}"),
                entry.note,
            )
        )
    return columns(rows, left=_WORDS)


def _sweeps_table(sweeps: Sequence[CurveEntry]) -> str:
    rows: list[tuple[str, ...]] = [
        ("sweep", "when", "kind", "workload", "scaling", "devices", "best speedup", "strategies")
    ]
    rows += [
        (
            sweep.sweep,
            sweep.when.strftime(MINUTE),
            f"{sweep.kind} {sweep.device}".strip(),
            sweep.workload,
            sweep.scaling,
            ",".join(map(str, sweep.devices)),
            "DAMAGED" if sweep.damage else f"{sweep.best_speedup:.2f}",
            ",".join(sweep.strategies),
        )
        for sweep in sweeps
    ]
    return columns(rows, left=_WORDS)


def live_table(found: Sequence[FoundRun], address: str) -> str:
    """Runs of all clients of a scheduler, the oldest first."""
    if not found:
        return f"no runs on {address}"
    rows: list[tuple[str, ...]] = [
        ("run", "since", "kind", "workload", "strategy", "workers", "status", "step", "owner"),
    ]
    for run in found:
        place = f", {ordinal(run.position)} in the line" if run.position else ""
        step = f"{run.step} of {run.planned_steps}" if run.planned_steps else str(run.step)
        rows.append(
            (
                run.run,
                datetime.fromtimestamp(run.since_s).strftime(SECOND),
                run.kind,
                run.workload,
                run.strategy,
                str(run.world_size),
                f"{run.status}{place}",
                step,
                f"{run.user} on {run.host} (process {run.pid})",
            )
        )
    return columns(rows, left=(*_WORDS, "since", "owner"))


def compare_table(comparison: Comparison) -> str:
    """Runs as columns, figures as lines; below, what may not be compared."""
    rows = comparison.rows
    figures: list[tuple[str, Callable[[Row], str]]] = [
        ("kind", lambda r: _kind(r.kind, r.device, {"trustworthy": r.trustworthy})),
        ("workload", lambda r: r.workload),
        ("strategy", lambda r: r.strategy),
        ("plan", lambda r: describe_plan(r.plan)),
        ("devices", lambda r: str(r.devices)),
        ("status", lambda r: r.status),
        ("steps", lambda r: str(r.steps)),
        ("samples/s", lambda r: f"{r.throughput_samples_per_s:,.0f}"),
        ("step time, ms", lambda r: f"{r.step_time_s * 1e3:.4g}"),
        ("speedup over the first", lambda r: _number(r.speedup, "{:.2f}")),
        ("ideal speedup over one", lambda r: _number(r.ideal_speedup, "{:.2f}")),
        ("late", lambda r: _number(r.lateness, "{:.1%}")),
        ("final loss", lambda r: _number(r.final_loss, "{:.5f}")),
        ("accuracy", lambda r: _number(r.accuracy, "{:.1%}")),
    ]
    table = [("", *(row.run for row in rows))]
    table += [(name, *(cell(row) for row in rows)) for name, cell in figures]
    for kind in _keys(row.comm_bytes.get("measured", {}) for row in rows):
        for source in ("measured", "formula"):
            cells = (_number(row.comm_bytes.get(source, {}).get(kind), "{:,}") for row in rows)
            table.append((f"{kind} bytes, {source}", *cells))
    for source in ("measured", "formula"):
        megabytes = (row.memory_bytes[source] for row in rows)
        cells = ("-" if size is None else f"{size / 1e6:,.1f}" for size in megabytes)
        table.append((f"memory of the largest rank, MB, {source}", *cells))
    for part in _keys(row.attribution_s for row in rows):
        shares = (
            row.attribution_s.get(part, 0.0) / row.wall_s if row.wall_s else 0.0 for row in rows
        )
        table.append((f"time in {part}", *(f"{share:.1%}" for share in shares)))
    shown = [row for row in table if any(cell not in ("", "-") for cell in row[1:])]
    return "\n".join([columns(shown), *(f"! {remark}" for remark in comparison.remarks)])


def compare_curves_table(curves: Sequence[tuple[str, Curve]]) -> str:
    """The points of several sweeps, one line each; each line says its kind."""
    rows: list[tuple[str, ...]] = [
        ("sweep", "kind", "workload", "scaling", "strategy", "devices", "samples/s", "speedup",
         "efficiency", "ideal", "late"),
    ]  # fmt: skip
    for name, curve in curves:
        rows += [
            (
                name,
                _kind(point.kind, curve.device, {}),
                curve.workload,
                curve.scaling,
                point.strategy,
                str(point.devices),
                f"{point.throughput_samples_per_s:,.0f}",
                f"{point.speedup:.2f}",
                f"{point.efficiency:.0%}",
                _number(point.ideal_speedup, "{:.2f}"),
                _number(point.lateness, "{:.1%}"),
            )
            for strategy in curve.strategies
            for point in curve.of(strategy)
        ]
    workloads = dict.fromkeys(curve.workload for _, curve in curves)
    remark = f"\n! different workloads ({', '.join(workloads)}): shown, not compared"
    return columns(rows, left=_WORDS) + (remark if len(workloads) > 1 else "")


def repeat_table(differences: LossDifferences, single: bool) -> str:
    """How far the losses of a repetition are from those of the run that it repeats."""
    relative = differences.relative
    where = " in one process" if single else ""
    if not relative:
        return f"{differences.run} repeats {differences.repeats}{where}: no step to compare"
    worst = relative.index(differences.greatest)
    verdict = {True: "equal", False: "NOT EQUAL", None: "not expected to be equal"}
    return "\n".join(
        (
            f"{differences.run} repeats {differences.repeats}{where}",
            f"relative difference of the loss over {len(relative)} steps: greatest "
            f"{differences.greatest:.2e} at step {worst}, last {relative[-1]:.2e}",
            f"{verdict[differences.holds]}: {differences.why}",
        )
    )


def _kind(kind: str, device: str, emulation: Mapping[str, Any]) -> str:
    text = f"{kind} {device}".strip()
    return f"{text} UNTRUSTWORTHY" if emulation.get("trustworthy") is False else text


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _keys(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of all mappings, in the order of their first occurrence."""
    return list(dict.fromkeys(key for mapping in mappings for key in mapping))
