"""Results as text and files for people: what the command line prints and saves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.plan import Plan
from labkit.runs.curve import Curve
from labkit.runs.lateness import MOST_LATE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, folder: Path, name: str) -> Path:
    """Write a figure as PNG; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, dpi=150)
    return path


def columns(rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> str:
    """Rows of text as aligned columns, numbers to the right.

    Args:
        rows: the heading first.
        left: headings of the columns that hold words and so go to the left, as the first does.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    words = [place == 0 or name in left for place, name in enumerate(rows[0])]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if is_word else cell.rjust(width)
            for cell, width, is_word in zip(row, widths, words, strict=True)
        ).rstrip()
        for row in rows
    )


def describe_plan(plan: Mapping[str, Any]) -> str:
    """A plan in a few words: ``dp 2 x pp 2, 1f1b, 8 microbatches``, and what else it changes."""
    degrees = {axis: plan[axis] for axis in ("dp", "pp", "tp")}
    text = " x ".join(f"{axis} {n}" for axis, n in degrees.items() if n > 1) or "one device"
    shown = set(degrees)
    if plan["pp"] > 1 and plan.get("placement", "layers") == "layers":
        text += f", {plan['schedule']}, {plan['microbatches']} microbatches"
        shown |= {"schedule", "microbatches"}
    elif plan.get("microbatches") == 1:
        shown |= {"microbatches"}
    for name, default in Plan(**degrees).to_dict().items():
        value = plan.get(name, default)
        if name not in shown and value != default and value is not None:
            text += f", {_setting(name, value)}"
    return text


def _setting(name: str, value: Any) -> str:
    if value is True:
        return name
    if isinstance(value, (list, tuple)):
        value = "/".join(map(str, value))
    return f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"


def describe_kind(kind: str, emulation: Mapping[str, Any]) -> str:
    """Whose seconds these are, and whether to trust them.

    Args:
        kind: of a run or a curve.
        emulation: as in a record; empty when measured.
    """
    if kind == "measured":
        return "MEASURED: real ranks, real clock"
    if kind != "emulated":
        return kind.upper()
    scale, late = emulation.get("time_scale"), emulation.get("lateness")
    text = f"EMULATED on {emulation.get('device') or 'a declared device'}"
    text += f", time x {scale:.3g}" if scale else ""
    text += f", {late:.1%} late" if late is not None else ""
    if emulation.get("trustworthy") is False:
        text += f": UNTRUSTWORTHY, {emulation.get('advice') or 'too late'}"
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
    """One line per point: strategy, devices, plan, throughput, speedup with spread, efficiency.

    An emulated curve also says how late each point was, and what its plan could reach.
    """
    points = [point for strategy in curve.strategies for point in curve.of(strategy)]
    names = ("strategy", "devices", "plan", "samples/s", "speedup", "low", "high", "efficiency")
    rows: list[tuple[str, ...]] = [names]
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
        for point in points
    ]
    rows = with_ideal(rows, [(point.ideal_speedup, point.lateness) for point in points])
    emulation = {"device": curve.device, "time_scale": curve.time_scale}
    title = (
        f"{describe_kind(curve.kind, emulation)}; speedup of {curve.workload}, {curve.scaling} "
        f"scaling, median of {curve.repeats}"
    )
    most = max((point.devices for point in points), default=1)
    note = cores_note(curve.num_cores, most) if curve.kind == "measured" else ""
    return "\n".join(
        line for line in (title, "", columns(rows, left=["plan"]), note) if line or line == ""
    )


def with_ideal(
    rows: list[tuple[str, ...]], facts: list[tuple[float | None, float | None]]
) -> list[tuple[str, ...]]:
    """A table of points with columns for the ideal speedup and the lateness, where known.

    Args:
        rows: the heading, then one row for each point.
        facts: ideal speedup and lateness of each point.
    """
    if all(ideal is None and late is None for ideal, late in facts):
        return rows
    heading, *points = rows
    cells = [
        (
            "" if ideal is None else f"{ideal:.2f}",
            "" if late is None else f"{late:.1%}{' UNTRUSTWORTHY' if late > MOST_LATE else ''}",
        )
        for ideal, late in facts
    ]
    return [(*heading, "ideal", "late"), *(a + b for a, b in zip(points, cells, strict=True))]


def demo_table(result: dict[str, Any]) -> str:
    """What ``labkit demo`` prints: the curve, the accuracy and where the pictures are."""
    points = [(c["strategy"], point) for c in result["curves"] for point in c["points"]]
    rows: list[tuple[str, ...]] = [("strategy", "devices", "samples/s", "speedup", "efficiency")]
    rows += [
        (
            strategy,
            str(point["devices"]),
            f"{point['throughput_samples_per_s']:,.0f}",
            f"{point['speedup']:.2f}",
            f"{point['efficiency']:.0%}",
        )
        for strategy, point in points
    ]
    rows = with_ideal(rows, [(p.get("ideal_speedup"), p.get("lateness")) for _, p in points])
    most = max(point["devices"] for _, point in points)
    measured = result["kind"] == "measured"
    accuracy, report = result["accuracy"], result["preprocess"]
    lines = [
        describe_kind(result["kind"], result),
        f"preprocessed {report['rows_in']:,} rows to {report['rows_out']:,} in "
        f"{report['seconds']:.1f} s",
        f"accuracy on held-out fruit: {accuracy['before']:.1%} before training, "
        f"{accuracy['correct']:.1%} after {result['training']['steps']} steps",
        "",
        columns(rows),
        cores_note(result["num_cores"], most) if measured else "",
        "",
        "pictures:",
        *(f"  {path}" for path in result["files"]),
        f"{result['seconds']:.0f} s",
    ]
    return "\n".join(lines)
