"""Panel 4: sweep strategies over device counts, or put stored runs side by side."""

from __future__ import annotations

from labkit.figures.remark import remark_on, remark_on_curves
from widgets.fields import toggle, write
from widgets.jobs import Pump
from widgets.markup import note
from widgets.panel import Panel
from widgets.run_banner import planned_note
from widgets.state import LabState
from widgets.stored_mode import StoredMode
from widgets.sweep_mode import SweepMode

SWEEP, STORED = "Sweep strategies", "Stored runs"


class ComparePanel(Panel):
    """Two modes of one card, of which one is in sight.

    Attributes:
        mode: the switch between them.
        sweep, stored: the modes.
    """

    def __init__(self, state: LabState, pump: Pump) -> None:
        super().__init__(number=4, title="Compare", verb="sweep", state=state, pump=pump)
        self.mode = toggle(
            "Mode",
            {
                SWEEP: "measure or emulate strategies over device counts",
                STORED: "put runs and sweeps that were kept side by side",
            },
            "138px",
        )
        self.sweep = SweepMode(self)
        self.stored = StoredMode(self)
        self.fill(
            [self.mode, self.sweep.controls, self.stored.controls],
            [self.sweep.results, self.stored.results],
        )
        self.on_change(self.mode)

    @property
    def sweeps(self) -> bool:
        """Whether the first mode is in sight."""
        return self.mode.value == SWEEP

    @property
    def kind_note(self) -> str:
        """What kind of runs are shown, or will be made."""
        if not self.sweeps and self.stored.view.records:
            return remark_on(self.stored.view.records).kind_note
        if self.state.curve is not None:
            return remark_on_curves([self.state.curve]).kind_note
        return planned_note(self.sweep.form.clock.read_device())

    def render(self) -> None:
        """The mode in sight."""
        for part, shown in ((self.sweep, self.sweeps), (self.stored, not self.sweeps)):
            display = "" if shown else "none"
            write(part.controls.layout, "display", display)
            write(part.results.layout, "display", display)
        if self.sweeps:
            self.sweep.render()
        else:
            self.stored.render()
        missing = "" if self.state.cluster or not self.sweeps else "Launch workers first."
        self.render_message(note(missing, "Comparing"))
