"""Results as text and files for people: what the command line prints and saves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import SettingError
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_folder(folder: Path) -> None:
    """Raise a SettingError unless files can be written below this folder; makes nothing."""
    whole = folder.absolute()
    existing = next(path for path in (whole, *whole.parents) if path.exists())
    obstacle = "" if os.access(existing, os.W_OK | os.X_OK) else "no permission to write"
    if not existing.is_dir():
        obstacle = f"{existing.name} is a file"
    if obstacle:
        raise SettingError(f"{str(folder)!r} cannot be written ({obstacle}); choose another folder")


def save_figure(figure: Figure, folder: Path, name: str) -> Path:
    """Write a figure as PNG; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=150)
    return path


def columns(rows: list[tuple[str, ...]]) -> str:
    """Rows of text as aligned columns: the first to the left, the others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def describe_plan(plan: dict[str, Any]) -> str:
    """A plan in a few words: ``dp 2 x pp 2, 1f1b, 8 microbatches``."""
    degrees = [f"{axis} {plan[axis]}" for axis in ("dp", "pp", "tp") if plan[axis] > 1]
    text = " x ".join(degrees) or "one device"
    if plan["pp"] > 1:
        text += f", {plan['schedule']}, {plan['microbatches']} microbatches"
    return text


def cores_note(num_cores: int | None, most_devices: int) -> str:
    """Why a measured curve bends at the core count, or nothing where it does not."""
    if num_cores is None or most_devices <= num_cores:
        return ""
    return (
        f"{num_cores} cores: speedup above {num_cores} cannot be measured here; "
        f"{most_devices} ranks share them"
    )


def curve_table(curve: Curve) -> str:
    """One line per point: strategy, devices, plan, throughput, speedup with spread, efficiency."""
    rows: list[tuple[str, ...]] = [
        ("strategy", "devices", "plan", "samples/s", "speedup", "low", "high", "efficiency")
    ]
    for strategy in curve.strategies:
        rows += [
            (
                point.strategy,
                str(point.devices),
                describe_plan(point.plan),
                f"{point.throughput_samples_per_s:,.0f}",
                f"{point.speedup:.2f}",
                f"{point.speedup_low:.2f}",
                f"{point.speedup_high:.2f}",
                f"{point.efficiency:.0%}",
            )
            for point in curve.of(strategy)
        ]
    title = (
        f"{curve.kind.upper()}: speedup of {curve.workload}, {curve.scaling} scaling, "
        f"median of {curve.repeats}"
    )
    note = cores_note(curve.num_cores, max((p.devices for p in curve.points), default=1))
    return "\n".join(line for line in (title, "", columns(rows), note) if line or line == "")


def train_table(record: RunRecord) -> str:
    """A run's record in a screenful."""
    losses = record.losses
    attribution = "  ".join(f"{name} {s:.2f} s" for name, s in record.attribution_s.items())
    measured = record.comm_bytes["measured"]
    traffic = "  ".join(f"{kind} {size:,} B" for kind, size in measured.items()) or "none"
    startup = "  ".join(f"{name} {s:.3f} s" for name, s in record.startup_s.items())
    rows: list[tuple[str, ...]] = [
        ("run", f"{record.run} ({record.kind}, {record.status})"),
        ("workload", f"{record.workload['name']}, global batch {record.workload['global_batch']}"),
        ("plan", f"{record.strategy}: {describe_plan(record.plan)}"),
        ("steps", f"{len(record.steps)} of {record.planned_steps}"),
    ]
    if losses:
        rows.append(("loss", f"{losses[0]:.4f} -> {losses[-1]:.4f}"))
    if record.accuracy:
        rows.append(
            ("accuracy", f"{record.accuracy['before']:.1%} -> {record.accuracy['correct']:.1%}")
        )
    rows += [
        ("throughput", f"{record.throughput_samples_per_s:,.0f} samples/s"),
        ("step time", f"{record.step_time_s * 1e3:.1f} ms"),
        ("start-up", startup),
        ("where the time went", attribution),
        ("communication", traffic),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def preprocess_table(report: dict[str, Any]) -> str:
    """The steps of preprocessing, and the six figures of each column."""
    steps: list[tuple[str, ...]] = [("step", "rows in", "rows out", "seconds")]
    steps += [
        (s["name"], f"{s['rows_in']:,}", f"{s['rows_out']:,}", f"{s['seconds']:.2f}")
        for s in report["steps"]
    ]
    names = ("count", "missing", "min", "max", "mean", "median", "std")
    statistics: list[tuple[str, ...]] = [("column", *names)]
    for column, values in report["statistics"].items():
        cells = (values.get(name) for name in names)
        statistics.append((column, *("" if c is None else f"{c:,.6g}" for c in cells)))
    total = (
        f"{report['rows_in']:,} rows in, {report['rows_out']:,} out, {report['set_aside']:,} set "
        f"aside, {report['shards']} shards, {report['seconds']:.1f} s"
    )
    return "\n\n".join((columns(steps), columns(statistics), total))


def demo_table(result: dict[str, Any]) -> str:
    """What ``labkit demo`` prints: the curve, the accuracy and where the pictures are."""
    rows: list[tuple[str, ...]] = [("strategy", "devices", "samples/s", "speedup", "efficiency")]
    for curve in result["curves"]:
        rows += [
            (
                curve["strategy"],
                str(point["devices"]),
                f"{point['throughput_samples_per_s']:,.0f}",
                f"{point['speedup']:.2f}",
                f"{point['efficiency']:.0%}",
            )
            for point in curve["points"]
        ]
    most = max(point["devices"] for curve in result["curves"] for point in curve["points"])
    accuracy, report = result["accuracy"], result["preprocess"]
    lines = [
        f"{result['kind'].upper()}: real ranks, real clock",
        f"preprocessed {report['rows_in']:,} rows to {report['rows_out']:,} in "
        f"{report['seconds']:.1f} s",
        f"accuracy on held-out fruit: {accuracy['before']:.1%} before training, "
        f"{accuracy['correct']:.1%} after {result['training']['steps']} steps",
        "",
        columns(rows),
        cores_note(result["num_cores"], most),
        "",
        "pictures:",
        *(f"  {path}" for path in result["files"]),
        f"{result['seconds']:.0f} s",
    ]
    return "\n".join(lines)
