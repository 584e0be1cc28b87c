"""What kind of run is shown: measured or emulated, on what, and whether to trust it."""

from __future__ import annotations

from labkit.figures.remark import remark_on, remark_on_curves
from labkit.figures.style import KIND_NOTES
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord
from widgets.markup import alert, banner, note


def run_banner(record: RunRecord) -> str:
    """The banner above a run's pictures, with its lateness and advice."""
    remark = remark_on([record])
    if record.kind != "emulated":
        return banner(remark.kind_note, record.kind)
    said = record.emulation
    late, scale = said.get("lateness"), said.get("time_scale")
    parts = [f"time x {scale:,.3g}"] if scale else []
    if late is not None:
        parts.append(f"{max(late, 0.0):.1%} late")
    untrusted = said.get("trustworthy") is False
    text = f"UNTRUSTWORTHY, {remark.kind_note}" if untrusted else remark.kind_note
    shown = banner(text, "untrustworthy" if untrusted else "emulated", ", ".join(parts))
    return shown + alert(str(said.get("advice", "")))


def curve_banner(curve: Curve) -> str:
    """The banner above a sweep's pictures."""
    remark = remark_on_curves([curve])
    scale = f"time x {curve.time_scale:,.3g}" if curve.time_scale else ""
    level = "untrustworthy" if remark.warning else curve.kind
    more = ", ".join(part for part in (scale, remark.warning) if part)
    return banner(remark.kind_note, level, more)


def planned_note(emulate: str | None) -> str:
    """The kind of a run that was not started yet."""
    if emulate is None:
        return KIND_NOTES["measured"]
    return f"EMULATED on {emulate}: real ranks, declared speed"


def beyond_cores(num_devices: int, num_cores: int | None, emulated: bool) -> str:
    """What cannot be measured where ranks share cores; nothing where it can."""
    if num_cores is None or emulated:
        return ""
    said = (
        f"{num_devices} ranks share {num_cores} cores: speedup above {num_cores} cannot be "
        "measured here, emulate"
    )
    return note(said, "Cores")
