"""Stored runs and sweeps side by side: a table, and a tab for each thing to compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import ipywidgets as ipw
from matplotlib.figure import Figure

from labkit.figures.attribution import attribution_figure
from labkit.figures.comm_bytes import comm_bytes_figure
from labkit.figures.curves import curves_figure
from labkit.figures.losses import Against, losses_figure
from labkit.figures.memory import memory_figure
from labkit.figures.picture import alt_of
from labkit.figures.remark import remark_on
from labkit.figures.run_names import plan_name
from labkit.figures.style import Theme
from labkit.figures.timelines import compare_timelines_figure
from labkit.runs.compare import Comparison, compare
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord
from widgets.fields import toggle
from widgets.live import LiveImage
from widgets.markup import banner, duration, hint, note, size, table
from widgets.run_banner import curve_banner

TABS = ("Loss", "Timelines", "Time", "Bytes", "Memory", "Sweeps")
COLUMNS = (
    "plan", "kind", "ranks", "samples/s", "a step", "speedup", "ideal", "loss", "bytes",
    "of formula", "memory", "late", "run",
)  # fmt: skip


class StoredView:
    """What was chosen to be compared.

    Attributes:
        widget: banner, table and tabs.
        against: what the losses are drawn against.
        records, curves: what is shown.
    """

    def __init__(self, new_image: Callable[..., LiveImage]) -> None:
        self.records: Sequence[RunRecord] = ()
        self.curves: Sequence[Curve] = ()
        tips = {name: f"draw the losses over {name}" for name in get_args(Against)}
        self.against = toggle("Loss over", tips, "88px")
        self._head = ipw.HTML()
        self._images = {
            name: new_image(f"lab-picture-stored-{name.lower()}", kept=False) for name in TABS
        }
        self._missing = {name: ipw.HTML() for name in TABS}
        self.tabs = ipw.Tab(
            [ipw.VBox([self._images[name].widget, self._missing[name]]) for name in TABS]
        )
        self.tabs.titles = TABS
        self.widget = ipw.VBox([self._head, self.tabs])
        self._said: tuple[Any, ...] | None = None  # what the head is about
        self._drawn: dict[str, tuple[Any, ...]] = {}  # what each tab shows

    def choose(self, records: Sequence[RunRecord], curves: Sequence[Curve]) -> None:
        """Show these from the next render on."""
        self.records, self.curves = records, curves
        if not records:
            self.tabs.selected_index = TABS.index("Sweeps")
        elif not curves and self.tabs.selected_index == TABS.index("Sweeps"):
            self.tabs.selected_index = 0

    def pngs(self, theme: Theme) -> dict[str, bytes]:
        """All pictures that there are, by the name of their tab; draws those not seen yet."""
        for name in TABS:
            self._draw(name, theme)
        return {name.lower(): image.png for name, image in self._images.items() if image.png}

    def render(self, theme: Theme, nothing: str) -> None:
        """Show what was chosen, and draw the tab that is open."""
        shown = (self.records, self.curves)
        if self._said is None or not _same(shown, self._said):
            self._said = shown
            chosen = bool(self.records or self.curves)
            self._head.value = _head(self.records, self.curves) if chosen else nothing
            self.tabs.layout.display = "" if chosen else "none"
        if self.records or self.curves:
            self._draw(TABS[self.tabs.selected_index or 0], theme)

    def _draw(self, name: str, theme: Theme) -> None:
        """One tab, if it shows something else; a figure with nothing to show says why."""
        image, missing = self._images[name], self._missing[name]
        wanted = (self.records, self.curves, theme, self.against.value if name == "Loss" else "")
        if name in self._drawn and _same(wanted, self._drawn[name]):
            return
        self._drawn[name] = wanted
        try:
            figures = self._figures(name, theme)
        except ValueError as error:
            image.clear()
            missing.value = hint(str(error))
            return
        missing.value = ""
        alt = "; ".join(alt_of(figure) for figure in figures)
        image.show_all(figures, alt, theme.background)

    def _figures(self, name: str, theme: Theme) -> list[Figure]:
        records = self.records
        if name == "Sweeps":
            return [curves_figure(self.curves, theme=theme)]
        if name == "Loss":
            return [losses_figure(records, self.against.value, theme=theme)]
        if name == "Timelines":
            return [compare_timelines_figure(records, theme)]
        if name == "Time":
            return [attribution_figure(*records, theme=theme)]
        if name == "Bytes":
            return [comm_bytes_figure(*records, theme=theme)]
        known = [
            r for r in records if r.memory_bytes.get("formula") or r.memory_bytes.get("measured")
        ]
        if not known:
            raise ValueError("no run has memory figures; choose runs of this version that ended")
        return [memory_figure(record, theme) for record in known]


def _same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Whether they hold the very same objects: records are long to compare."""
    return all(a is b or (isinstance(a, str) and a == b) for a, b in zip(some, others, strict=True))


def _head(records: Sequence[RunRecord], curves: Sequence[Curve]) -> str:
    """Banner, remarks and table."""
    parts = [curve_banner(curve) for curve in curves]
    if records:
        remark = remark_on(records)
        kinds = {record.kind for record in records}
        level = "untrustworthy" if remark.warning else kinds.pop() if len(kinds) == 1 else "mixed"
        found = compare(records)
        parts.insert(0, banner(remark.kind_note, level, remark.warning))
        parts += [note(said, "Remark") for said in found.remarks]
        parts.append(runs_table(found))
    return "".join(parts)


def runs_table(found: Comparison) -> str:
    """The figures of runs side by side, each with its kind."""
    rows = []
    for row in found.rows:
        measured, formula = (sum(row.comm_bytes[k].values()) for k in ("measured", "formula"))
        memory = row.memory_bytes["measured"]
        rows.append(
            (
                plan_name(row.plan),
                f"{row.kind} on {row.device}" if row.device else row.kind,
                str(row.devices),
                f"{row.throughput_samples_per_s:,.0f}",
                duration(row.step_time_s),
                _or_dash(row.speedup, ".2f"),
                _or_dash(row.ideal_speedup, ".2f"),
                _or_dash(row.final_loss, ".4g"),
                size(measured),
                _or_dash(measured / formula if formula else None, ".3f"),
                "-" if memory is None else size(memory),
                _or_dash(row.lateness, ".1%"),
                row.run,
            )
        )
    return table("Runs side by side; speedup is over the first", COLUMNS, rows)


def _or_dash(value: float | None, spec: str) -> str:
    return "-" if value is None else f"{value:{spec}}"
