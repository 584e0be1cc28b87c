"""What the four panels have in common: a numbered card, one job, one message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as ipw

from labkit.errors import LabError
from widgets.jobs import SETTLE_S, Job, Pump, guard
from widgets.live import LiveImage
from widgets.markup import alert
from widgets.state import LabState

CONTROLS_WIDTH = "330px"
BACKGROUND_S = 60.0  # a layer profile takes half a second, its dataset some more
DESCRIPTION = {"description_width": "92px"}
FULL = ipw.Layout(width="100%")


class Panel(ABC):
    """One card of the lab: controls on the left, what they made on the right.

    Attributes:
        job: what the panel does at a time.
        widget: the card.
        images: its pictures, for their alternative texts and for the saved notebook.
    """

    def __init__(self, *, number: int, title: str, verb: str, state: LabState, pump: Pump) -> None:
        self.state = state
        self.pump = pump
        self.job = Job(verb, state.log, pump.poke)
        state.jobs.append(self.job)
        self.images: list[LiveImage] = []
        self.message = ipw.HTML()
        self._refusal = ""
        heading = ipw.HTML(f'<h3><span aria-hidden="true">{number}</span> {title}</h3>')
        self.controls = ipw.VBox(layout=ipw.Layout(width=CONTROLS_WIDTH, flex="0 0 auto"))
        self.results = ipw.VBox(layout=ipw.Layout(flex="1 1 480px", min_width="0"))
        body = ipw.HBox(
            [self.controls, self.results],
            layout=ipw.Layout(flex_flow="row wrap", grid_gap="16px"),
        )
        self.widget = ipw.VBox([heading, body])
        self.widget.add_class("lab-card")
        self.widget.add_class(f"lab-card-{title.lower()}")

    @abstractmethod
    def render(self) -> None:
        """Write the widgets as the state is now; on the pump's thread only."""

    def fill(self, controls: Sequence[ipw.Widget], results: Sequence[ipw.Widget]) -> None:
        """Put the widgets into the card; the message stands below the controls."""
        self.controls.children = (*controls, self.message)
        self.results.children = tuple(results)

    def new_image(self, css_class: str, *, kept: bool = True) -> LiveImage:
        """A place for a picture in this panel; ``kept`` ones stay in a saved notebook."""
        image = LiveImage(css_class, kept=kept)
        self.images.append(image)
        return image

    def on_click(self, button: ipw.Button, action: Callable[[], object]) -> None:
        """Call ``action`` on a click; its errors reach the log, and it must not block."""
        button.on_click(guard(self.state.log, button.description, lambda _: action()))

    def on_change(self, *controls: ipw.Widget) -> None:
        """Let a moved control be looked at by the pump."""
        for control in controls:
            control.observe(lambda _: self.pump.poke(), "value")

    def begin(self, work: Callable[[Any], None], read: Callable[[], Any], name: str = "") -> None:
        """Start the panel's job, unless another panel is at work.

        Args:
            work: runs in the job's thread, with what ``read`` returned.
            read: reads the controls once they have settled, on the pump's thread.
            name: of the job, where a panel has several.
        """
        other = next((j for j in self.state.jobs if j.active and j is not self.job), None)
        self._refusal = f"{other.name} is at work; stop it or wait for its end" if other else ""
        if other is not None:
            self.pump.poke()
            return

        def settled() -> None:
            if self.job.stop_event.wait(SETTLE_S):
                return
            settings = self.pump.call(read)
            for quiet in self.state.background:  # none begins while this job is at work
                quiet.wait(BACKGROUND_S)
            work(settings)

        self.job.start(settled, name)

    def render_message(self, advice: str = "") -> None:
        """Show the job's error, else why it was refused, else markup that gives advice."""
        trouble = f"{self.job.name} failed: {self.job.error}" if self.job.error else self._refusal
        self.message.value = alert(trouble) or advice

    def cluster(self) -> Any:
        """The cluster to work on.

        Raises:
            LabError: there is none.
        """
        if self.state.cluster is None:
            raise LabError("there is no cluster; press Launch first")
        return self.state.cluster


def action_button(description: str, icon: str, style: str = "", tooltip: str = "") -> ipw.Button:
    """A button of a panel; ``style`` is one of ipywidgets' button styles."""
    return ipw.Button(
        description=description,
        icon=icon,
        button_style=style,
        tooltip=tooltip,
        layout=ipw.Layout(flex="1 1 0", width="auto"),
    )


def int_slider(description: str, low: int, high: int, value: int, step: int = 1) -> ipw.IntSlider:
    """A slider of a panel; it sends its value when it is let go."""
    return ipw.IntSlider(
        description=description,
        min=low,
        max=high,
        value=value,
        step=step,
        continuous_update=False,
        style=DESCRIPTION,
        layout=FULL,
    )
