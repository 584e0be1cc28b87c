"""Before anything starts: which rank will hold what, what it will need, what it could reach."""

from __future__ import annotations

from html import escape

import ipywidgets as ipw

from labkit.emulate.device import Device
from labkit.errors import LabError
from labkit.figures.memory import predicted_memory_figure
from labkit.figures.mesh import mesh_figure
from labkit.figures.picture import alt_of
from labkit.figures.style import KIND_NOTES
from labkit.project.forecast import Forecast, emulated_plan, forecast
from labkit.project.profile import ModelProfile
from labkit.project.time_scale import choose_time_scale
from widgets.live import LIVE_DPI, LiveImage
from widgets.markup import alert, banner, duration, hint, size, table
from widgets.state import LabState
from widgets.train_form import TrainSettings

NO_PROFILE = (
    "Memory and step time follow from what each layer of the model costs. Press Predict: one rank "
    "measures that once, on the workload's data; the data are prepared first if they are not here."
)


class ForecastView:
    """The Plan tab.

    Attributes:
        widget: the tab's content.
        predict_button: finds the profile that memory and time follow from.
    """

    def __init__(
        self, state: LabState, mesh: LiveImage, memory: LiveImage, predict_button: ipw.Button
    ) -> None:
        self._state = state
        self._mesh, self._memory = mesh, memory
        self.predict_button = predict_button
        self._facts = ipw.HTML()
        self._banner = ipw.HTML(banner(KIND_NOTES["projected"], "projected"))
        self.widget = ipw.VBox(
            [self._banner, mesh.widget, self._facts, ipw.HBox([predict_button]), memory.widget]
        )
        self._shown: tuple[object, ...] | None = None

    def render(
        self,
        settings: TrainSettings | None,
        profile: ModelProfile | None,
        device: Device | None,
        *,
        busy: bool,
        searching: bool,
        trouble: str = "",
    ) -> None:
        """Draw what the controls say, if it is not what is drawn.

        Args:
            settings: ``None`` while they are impossible.
            profile: of the workload's layers; ``None`` until it is found.
            device: the declared one of an emulated run.
            busy: whether something is at work.
            searching: whether that looks for the profile.
            trouble: why there is no profile.
        """
        launched = self._state.cluster is not None
        self.predict_button.layout.display = "none" if profile else ""
        self.predict_button.disabled = busy or settings is None or not launched
        shown = (settings, profile, device, self._state.theme, launched, searching, trouble)
        if shown == self._shown:
            return
        self._shown = shown
        if settings is None:
            self._mesh.clear()
            self._memory.clear()
            self._facts.value = hint("This plan is impossible; the controls say why.")
            return
        found = None
        try:
            found = foresee(settings, profile, device)
            self._facts.value = self._said(settings, found, profile, device, searching, trouble)
        except LabError as error:
            self._facts.value = alert(str(error))
        self._draw(settings, found, device)

    def _draw(self, settings: TrainSettings, found: Forecast | None, device: Device | None) -> None:
        theme = self._state.theme
        plan = settings.plan
        figure = mesh_figure(
            plan,
            stages=[list(stage) for stage in found.stages]
            if found and plan.num_stages > 1
            else None,
            theme=theme,
            devices_per_host=device.devices_per_host if device is not None else None,
            num_branches=settings.workload.num_branches or None,
        )
        self._mesh.show_rest(figure, alt_of(figure), LIVE_DPI)
        if found is None or found.memory is None:
            self._memory.clear()
            return
        limit = device.memory_bytes if device is not None else None
        figure = predicted_memory_figure(found.memory, limit, theme)
        self._memory.show_rest(figure, alt_of(figure), LIVE_DPI)

    def _num_cores(self) -> int:
        assert self._state.cluster is not None, "a profile is of a cluster's devices"
        return self._state.cluster.num_shared_cores

    def _said(
        self,
        settings: TrainSettings,
        found: Forecast | None,
        profile: ModelProfile | None,
        device: Device | None,
        searching: bool,
        trouble: str,
    ) -> str:
        if trouble:
            return alert(trouble)
        if found is None or profile is None:
            if self._state.cluster is None:
                return hint("Launch workers first; then memory and step time are predicted here.")
            return hint("Measuring what each layer costs ..." if searching else NO_PROFILE)
        facts = []
        if found.memory is not None:
            most = max(sum(parts.values()) for parts in found.memory)
            facts.append(f"at most <b>{size(most)}</b> of memory a rank by formula")
        if found.ideal is not None and found.ideal_speedup is not None and device is not None:
            speedup, ranks = found.ideal_speedup, settings.plan.world_size
            facts = [
                f"<b>{duration(found.ideal.step_s)}</b> a step on {escape(device.name)}",
                f"<b>{speedup:.2f} x</b> one {escape(device.name)}",
                f"<b>{speedup / ranks:.0%}</b> efficiency",
                *facts,
                wall_clock(settings, found, profile, device, self._num_cores()),
            ]
        line = f'<p class="lab-facts">{"".join(f"<span>{fact}</span>" for fact in facts)}</p>'
        return line + (breakdown(found) if found.ideal is not None else _why_no_time(device))


def foresee(
    settings: TrainSettings, profile: ModelProfile | None, device: Device | None
) -> Forecast | None:
    """The forecast of the settings; ``None`` without a profile.

    Raises:
        PlanError: the plan cannot be emulated.
    """
    if profile is None:
        return None
    plan = settings.plan if device is None else emulated_plan(settings.plan, profile)
    return forecast(plan, profile, settings.workload, device=device)


def breakdown(found: Forecast) -> str:
    """Where an ideal step goes, as a table."""
    assert found.ideal is not None
    rows = [
        (part.replace("_", " "), duration(seconds), f"{seconds / found.ideal.step_s:.0%}")
        for part, seconds in found.ideal.breakdown_s.items()
        if seconds > 0
    ]
    return table("The ideal step, mean over the ranks", ("part", "time", "share"), rows)


def wall_clock(
    settings: TrainSettings,
    found: Forecast,
    profile: ModelProfile,
    device: Device,
    num_cores: int,
) -> str:
    """How long the emulation will take here, as markup."""
    assert found.ideal is not None
    scale = settings.time_scale or choose_time_scale(
        profile, device, settings.workload, [(settings.plan, settings.workload)], num_cores
    )
    return (
        f"about <b>{scale * found.ideal.step_s * settings.steps:.0f} s</b> here for "
        f"{settings.steps} steps (time x {scale:,.0f})"
    )


def _why_no_time(device: Device | None) -> str:
    if device is not None:
        return ""
    return (
        '<p class="lab-why">An ideal step time needs a declared device: set Clock to emulated.</p>'
    )
