"""The Compare panel's first half: speedup and efficiency of strategies, point by point."""

from __future__ import annotations

from copy import copy
from typing import Any

import ipywidgets as ipw

from labkit.errors import LabError
from labkit.figures.remark import is_late
from labkit.figures.speedup import SpeedupPicture
from labkit.figures.style import Theme
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord
from widgets.compare_export import export_sweep
from widgets.markup import alert, file_links, hint, note, table
from widgets.panel import DESCRIPTION, FULL, Panel, action_button
from widgets.run_banner import beyond_cores, curve_banner
from widgets.run_export import shown_paths
from widgets.sweep_form import SweepForm, SweepSettings, said

WAITING = (
    "What speedup do you expect from 2 and from 4 devices? Write it down, then press Sweep: the "
    "points appear one by one beside the ideal line."
)
COLUMNS = (
    "strategy", "devices", "plan", "samples/s", "speedup", "least to most", "efficiency", "ideal",
    "late",
)  # fmt: skip


class SweepMode:
    """Measures or emulates every chosen strategy on every device count.

    Attributes:
        controls, results: the two sides of the card.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self.form = SweepForm(panel.state)
        self.plan_note = ipw.HTML()
        self.start_button = action_button("Sweep", "line-chart", "primary", "Measure each point")
        self.stop_button = action_button("Stop", "stop", "danger", "Keep the points so far")
        self.export_button = action_button("Export", "download", "", "Pictures and a CSV table")
        self.progress = ipw.IntProgress(
            description="Progress", min=0, max=1, style=DESCRIPTION, layout=FULL
        )
        self.picture = panel.new_image("lab-picture-speedup")
        self.efficiency = panel.new_image("lab-picture-efficiency")
        self.banner, self.about, self.files = ipw.HTML(), ipw.HTML(), ipw.HTML()
        self.tabs = ipw.Tab([self.picture.widget, self.efficiency.widget])
        self.tabs.titles = ("Speedup", "Efficiency")
        self._live: tuple[SpeedupPicture, SpeedupPicture] | None = None
        self._runs_done = 0
        self._asked: SweepSettings | None = None
        self._drawn: tuple[int, Theme, bool] | None = None
        self._sweep_id = ""
        self.controls = ipw.VBox(
            [
                self.form.widget, self.plan_note, ipw.HBox([self.start_button, self.stop_button]),
                self.progress, ipw.HBox([self.export_button]),
            ]
        )  # fmt: skip
        self.results = ipw.VBox([self.banner, self.tabs, self.about, self.files])
        self.form.on_change(panel.pump.poke)
        panel.on_click(self.start_button, self.start)
        panel.on_click(self.stop_button, panel.job.stop)
        panel.on_click(self.export_button, self.export)

    # -- jobs ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Sweep what the controls say."""
        self._panel.begin(self._sweep, self.form.read, "sweep")

    def export(self) -> None:
        """Write the curve's pictures and points."""
        self._panel.begin(self._export, self._to_export, "export")

    def _sweep(self, settings: SweepSettings) -> None:
        panel, state = self._panel, self._panel.state
        cluster = panel.cluster()
        panel.pump.call(lambda: self._forget(settings))
        state.log(f"sweep: {settings.num_runs} runs")
        curve = state.engine.sweep(
            settings.workload,
            cluster=cluster,
            strategies=settings.strategies,
            devices=settings.devices,
            steps=settings.steps,
            repeats=settings.repeats,
            scaling=settings.scaling,
            emulate=settings.emulate,
            time_scale=settings.time_scale,
            dataset=state.dataset_of(settings.workload),
            on_record=self._keep,
            on_update=self._note_update,
            should_stop=panel.job.stop_event.is_set,
        )
        state.curve = curve
        if curve.points:
            self._sweep_id = state.curves.save(curve)
            state.num_stored += 1

    def _forget(self, settings: SweepSettings) -> None:
        """Make room for a new curve; on the pump's thread, which may be drawing the old one."""
        self._asked, self._live, self._runs_done = settings, None, 0
        self._sweep_id = self.files.value = ""
        self._panel.state.curve = None

    def _keep(self, record: RunRecord) -> None:
        self._panel.state.store.save(record)
        self._panel.state.num_stored += 1

    def _note_update(self, curve: Curve) -> None:
        shown = copy(curve)  # the engine goes on with its own
        shown.points = list(curve.points)
        self._runs_done += 1
        self._panel.state.curve = shown
        self._panel.pump.poke()

    def _to_export(self) -> tuple[str, Curve, dict[str, bytes]]:
        curve = self._panel.state.curve
        if curve is None or not self._sweep_id:
            raise LabError("there is no curve to export; press Sweep first")
        return (
            self._sweep_id,
            curve,
            {"speedup": self.picture.png, "efficiency": self.efficiency.png},
        )

    def _export(self, given: tuple[str, Curve, dict[str, bytes]]) -> None:
        paths = export_sweep(*given, self._panel.state.store)
        links = file_links("Written:", shown_paths(paths))
        self._panel.pump.call(lambda: self._show_files(links))

    def _show_files(self, markup: str) -> None:
        self.files.value = markup

    # -- on the pump's thread ------------------------------------------------------------------

    def render(self) -> None:
        """Controls, then the curve as far as it has come."""
        state, job = self._panel.state, self._panel.job
        problem = ""
        try:
            settings = self.form.read()
            most = max(settings.devices)
            cores = state.cores_beyond(most)
            warned = beyond_cores(most, cores, settings.emulate is not None)
            self.plan_note.value = note(f"Plan: {said(settings)}", "Sweep plan") + warned
        except LabError as error:
            problem = str(error)
            self.plan_note.value = alert(problem)
        self.form.render(active=job.active)
        ready = state.active_job is None and state.cluster is not None
        self.start_button.disabled = not ready or bool(problem)
        self.stop_button.disabled = job.state != "running"
        self.export_button.disabled = state.active_job is not None or not self._sweep_id
        self._render_curve()

    def _render_curve(self) -> None:
        state, job, asked = self._panel.state, self._panel.job, self._asked
        sweeping = job.active and job.name == "sweep"
        self.progress.max = asked.num_runs if asked is not None else 1
        self.progress.value = (
            self.progress.max if self._sweep_id and not sweeping else self._runs_done
        )
        curve = state.curve
        if curve is None or asked is None:
            self._drawn = None
            self.banner.value = ""
            self.tabs.layout.display = "none"
            first = "The first run of the sweep is the baseline: one device ..."
            self.about.value = hint(first if sweeping else WAITING)
            self.picture.clear()
            self.efficiency.clear()
            return
        drawn = (self._runs_done, state.theme, sweeping)
        if drawn == self._drawn:
            return
        if self._live is None or self._live[0].theme is not state.theme:
            self._live = (
                SpeedupPicture(curve, asked.devices, state.theme),
                SpeedupPicture(curve, asked.devices, state.theme, "efficiency"),
            )
        self._drawn = drawn
        self.tabs.layout.display = ""
        self.banner.value = curve_banner(curve)
        for image, picture in zip((self.picture, self.efficiency), self._live, strict=True):
            image.show_live(picture, curve)
            if not sweeping:
                image.show_rest(picture.figure, picture.alt)
        self.about.value = points_table(curve)


def points_table(curve: Curve) -> str:
    """Every point of a curve; the baseline, which all strategies share, once."""
    rows = [
        (
            strategy if point.devices > 1 else "baseline",
            str(point.devices),
            " ".join(f"{axis}={point.plan[axis]}" for axis in ("dp", "pp", "tp")),
            f"{point.throughput_samples_per_s:,.0f}",
            f"{point.speedup:.2f}",
            f"{point.speedup_low:.2f} to {point.speedup_high:.2f}",
            f"{point.efficiency:.0%}",
            "-" if point.ideal_speedup is None else f"{point.ideal_speedup:.2f}",
            _lateness(point.lateness),
        )
        for strategy in curve.strategies
        for point in curve.of(strategy)
    ]
    rows = list(dict.fromkeys(rows))  # one device is the same run for every strategy
    where = f" on {curve.device}" if curve.device else ""
    caption = f"{curve.kind.upper()}{where}: {curve.workload}, {curve.scaling} scaling"
    if curve.kind != "emulated":  # without a declared device there is neither
        return table(caption, COLUMNS[:-2], [row[:-2] for row in rows])
    return table(caption, COLUMNS, rows)


def _lateness(lateness: Any) -> str:
    if lateness is None:
        return "-"
    return f"{max(lateness, 0.0):.1%}" + (" UNTRUSTWORTHY" if is_late(lateness) else "")
