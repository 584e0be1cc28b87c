"""What must never be missing from a picture: measured, emulated or projected, and how far to trust.

An emulated picture carries a remark at its foot: what an emulation checks and what it cannot, and
a warning where its ranks were too late for its times to be those of the device.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text

from labkit.figures.style import EDGE_IN, KIND_NOTES, VERMILLION, Theme
from labkit.runs.curve import Curve
from labkit.runs.lateness import MOST_LATE
from labkit.runs.record import RunRecord

REMARK_IN = 0.24  # height that a picture gives to the remark at its foot
REMARK_PT = 7.5
_BOTTOM_IN = 0.07
_CHECKS = "checks protocol, schedule and overlap; cannot validate the device description"


@dataclass(frozen=True, slots=True)
class Remark:
    """What is said of the emulated runs in a picture; all empty where there is none.

    Attributes:
        kind_note: measured, emulated on which device, or projected: for the title.
        text: what the emulation is and is not.
        warning: how many were too late, and by how much.
    """

    kind_note: str
    text: str = ""
    warning: str = ""

    @property
    def height_in(self) -> float:
        """Room at the foot of the picture."""
        return REMARK_IN if self.text else 0.0

    @property
    def spoken(self) -> str:
        """For alternative texts: nothing for a measured run."""
        return "".join(f"; {said}" for said in (self.text and self.kind_note, self.warning) if said)


def remark_on(records: Iterable[RunRecord]) -> Remark:
    """The remark on one or several runs."""
    records = list(records)
    return remark_on_kinds([record.kind for record in records], map(emulation_of, records))


def remark_on_kinds(kinds: Sequence[str], emulations: Iterable[Mapping[str, Any]] = ()) -> Remark:
    """The remark on what has no record at hand.

    Args:
        kinds: measured, emulated or projected, of each run.
        emulations: their ``emulation`` entries, as far as they are known.
    """
    known = list(emulations)
    return _remark(
        kinds,
        [(str(e.get("device", "")), e.get("time_scale")) for e in known],
        [e.get("lateness") for e in known],
    )


def remark_on_curves(curves: Iterable[Curve]) -> Remark:
    """The remark on one or several sweeps."""
    curves = list(curves)
    return _remark(
        [curve.kind for curve in curves],
        [(curve.device, curve.time_scale) for curve in curves],
        [point.lateness for curve in curves for point in curve.points if point.devices > 1],
    )


def emulation_of(record: RunRecord) -> Mapping[str, Any]:
    """The ``emulation`` entry; empty for a measured run and for records of earlier versions."""
    found: Mapping[str, Any] = getattr(record, "emulation", None) or {}
    return found


def is_late(lateness: float | None) -> bool:
    """Whether a run was too late for its times to be those of the declared device."""
    return lateness is not None and lateness > MOST_LATE


def _remark(
    kinds: Sequence[str],
    devices: Sequence[tuple[str, float | None]],
    lateness: Sequence[float | None],
) -> Remark:
    names = list(dict.fromkeys(name for name, _ in devices if name))
    if "emulated" not in kinds:
        return Remark(_kind_note(kinds, names))
    scales = list(dict.fromkeys(f"{scale:.3g}" for _, scale in devices if scale is not None))
    scaled = f", time x {', '.join(scales)}" if scales else ""
    text = " ".join(["emulated", " and ".join(names) or "device"]) + f"{scaled}: {_CHECKS}"
    known = [value for value in lateness if value is not None]
    late = [value for value in known if is_late(value)]
    warning = ""
    if late:
        counted = f"{len(late)} of {len(known)} up to " if len(known) > 1 else ""
        warning = f"UNTRUSTWORTHY: {counted}{max(late):.0%} late"
    return Remark(_kind_note(kinds, names), text, warning)


def _kind_note(kinds: Sequence[str], devices: Sequence[str]) -> str:
    found = [kind for kind in KIND_NOTES if kind in kinds]
    if found == ["emulated"] and devices:
        return f"EMULATED on {' and '.join(devices)}: real ranks, declared speed"
    if len(found) == 1:
        return KIND_NOTES[found[0]]
    said = [f"{kind.upper()}{_on(kind, devices)}" for kind in found]
    return " and ".join(said)


def _on(kind: str, devices: Sequence[str]) -> str:
    return f" on {' and '.join(devices)}" if kind == "emulated" and devices else ""


class RemarkText:
    """The remark as it stands at the foot of a figure."""

    def __init__(self, figure: Figure, theme: Theme, remark: Remark) -> None:
        width_in, height_in = figure.get_size_inches()
        x, y = EDGE_IN / width_in, _BOTTOM_IN / height_in
        self.remark = remark
        self._text: Text = figure.text(x, y, remark.text, fontsize=REMARK_PT, color=theme.muted)
        self._warning: Text = figure.text(
            1 - x, y, remark.warning, ha="right", fontsize=REMARK_PT, fontweight="bold",
            color=VERMILLION,
        )  # fmt: skip

    def show(self, remark: Remark) -> bool:
        """Follow a live run; whether anything changed."""
        if remark == self.remark:
            return False
        self.remark = remark
        self._text.set_text(remark.text)
        self._warning.set_text(remark.warning)
        return True
