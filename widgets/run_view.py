"""What a run shows: live loss and timeline; afterwards time, bytes, memory and who led."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as ipw
from matplotlib.figure import Figure

from labkit.errors import LabError
from labkit.figures.attribution import attribution_figure
from labkit.figures.comm_bytes import comm_bytes_figure
from labkit.figures.load import load_figure
from labkit.figures.loss import LossPicture
from labkit.figures.memory import memory_figure
from labkit.figures.overlay import overlay_figure
from labkit.figures.picture import alt_of
from labkit.figures.staleness import staleness_figure
from labkit.figures.style import Theme
from labkit.figures.terms import terms_figure
from labkit.figures.timeline import TimelinePicture
from labkit.project.ideal_timeline import ideal_timeline, measured_step
from labkit.runs.record import COMM_KINDS, RunRecord
from widgets.live import LiveImage
from widgets.markup import hint, note
from widgets.run_banner import run_banner
from widgets.run_facts import communication, run_facts, startup

BEFORE = (
    "Press Train: the loss of every step and the time of every rank appear here while the ranks "
    "work."
)
LATER = "This is known once a run has ended."
NO_LEADER = "This run has had no leader: a single rank elects none."


class RunView:
    """Four tabs of the Train panel.

    Attributes:
        banner: what kind of run it is, above the tabs.
        tabs: content by title.
    """

    def __init__(self, new_image: Callable[[str], LiveImage]) -> None:
        self.banner = ipw.HTML()
        self.about = ipw.HTML()
        self.bytes_about = ipw.HTML()
        self.time_about = ipw.HTML()
        self.terms_about = ipw.HTML()
        self.loss = new_image("lab-picture-loss")
        self.timeline = new_image("lab-picture-timeline")
        self.attribution = new_image("lab-picture-attribution")
        self.overlay = new_image("lab-picture-overlay")
        self.staleness = new_image("lab-picture-staleness")
        self.bytes = new_image("lab-picture-bytes")
        self.memory = new_image("lab-picture-memory")
        self.load = new_image("lab-picture-load")
        self.terms = new_image("lab-picture-terms")
        self.tabs = {
            "Loss & timeline": _stack(self.about, self.loss, self.timeline),
            "Where the time went": _stack(
                self.time_about, self.attribution, self.overlay, self.load, self.staleness
            ),
            "Bytes & memory": _stack(self.bytes_about, self.bytes, self.memory),
            "Leaders": _stack(self.terms_about, self.terms),
        }
        self._pictures: tuple[LossPicture, TimelinePicture] | None = None
        self._shown: tuple[Any, Theme, bool, int] | None = None

    # -- on the pump's thread ------------------------------------------------------------------

    def render(self, run: Any, theme: Theme, *, done: bool) -> None:
        """Show a run as it is now; ``None`` before the first.

        Args:
            run: live or ended.
            theme: light or dark.
            done: whether to draw what only an ended run has; that takes a second.
        """
        if run is None:
            self.about.value = hint(BEFORE)
            self._promise()
            return
        record: RunRecord = run.view()
        shown = (run, theme, done, len(record.steps))
        if shown == self._shown:
            return
        if self._shown is None or self._shown[:2] != (run, theme):
            self._begin(record, theme)
        self._shown = shown
        self.banner.value = run_banner(record)
        self._draw(record, done=done)
        if record.steps:
            self.about.value = run_facts(record)
        if done:
            self._finish(record, theme)

    def _begin(self, record: RunRecord, theme: Theme) -> None:
        self._pictures = (LossPicture(record, theme), TimelinePicture(record, theme))
        for image in (
            self.attribution, self.overlay, self.load, self.staleness, self.bytes, self.memory,
            self.terms,
        ):  # fmt: skip
            image.clear()
        self.about.value = hint("The ranks are starting ...")
        self._promise()

    def _promise(self) -> None:
        for about in (self.time_about, self.bytes_about, self.terms_about):
            about.value = hint(LATER)

    def _draw(self, record: RunRecord, *, done: bool) -> None:
        assert self._pictures is not None
        for image, picture in zip((self.loss, self.timeline), self._pictures, strict=True):
            image.show_live(picture, record)
            if done:
                image.show_rest(picture.figure, picture.alt)

    def _finish(self, record: RunRecord, theme: Theme) -> None:
        """The pictures of a run that has ended, as far as it has what they show."""
        self.bytes_about.value = communication(record)
        memory = record.memory_bytes
        _show(
            self.attribution,
            lambda: attribution_figure(record, theme=theme),
            sum(record.attribution_s.values()) > 0,
        )
        try:
            _show(self.overlay, lambda: _overlay(record, theme), _has_overlay(record))
            self.time_about.value = startup(record)
        except LabError as error:  # stopped before a whole step: there is nothing to lay over
            self.overlay.clear()
            self.time_about.value = note(str(error), "Ideal") + startup(record)
        _show(self.staleness, lambda: staleness_figure(record, theme), bool(record.staleness))
        busy = any(sample.busy is not None for sample in record.load)
        _show(self.load, lambda: load_figure(record, theme), busy)
        _show(self.bytes, lambda: comm_bytes_figure(record, theme=theme), has_bytes(record))
        _show(
            self.memory,
            lambda: memory_figure(record, theme),
            bool(memory.get("formula") or memory.get("measured")),
        )
        _show(self.terms, lambda: terms_figure(record, theme=theme), bool(record.leaders))
        self.terms_about.value = "" if record.leaders else hint(NO_LEADER)


def has_bytes(record: RunRecord) -> bool:
    """Whether anything was communicated, or should have been."""
    counted = (*record.comm_bytes["measured"].items(), *record.comm_bytes["formula"].items())
    return bool(record.steps) and any(kind in COMM_KINDS and n for kind, n in counted)


def _has_overlay(record: RunRecord) -> bool:
    """Whether it ran a pipeline's schedule, for at least one whole step."""
    plan = record.plan
    return plan["pp"] > 1 and plan.get("placement", "layers") == "layers" and bool(record.steps)


def _overlay(record: RunRecord, theme: Theme) -> Figure:
    return overlay_figure(measured_step(record), ideal_timeline(record), record, theme)


def _show(image: LiveImage, draw: Callable[[], Figure], wanted: bool) -> None:
    if not wanted:
        image.clear()
        return
    figure = draw()
    image.show_rest(figure, alt_of(figure))


def _stack(about: ipw.HTML, *images: LiveImage) -> ipw.VBox:
    return ipw.VBox([*(image.widget for image in images), about])
