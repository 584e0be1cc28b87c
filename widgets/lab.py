"""The lab: four panels over one engine, in one cell of a notebook."""

from __future__ import annotations

import base64
import time
import uuid
import weakref
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets as ipw
from IPython.display import DisplayHandle, display

from labkit.cluster.cluster import Cluster
from labkit.figures.style import DARK, LIGHT
from labkit.runs.curve import Curve
from labkit.runs.store import RunStore
from widgets.accessibility import Accessibility
from widgets.cluster_panel import END_S, ClusterPanel
from widgets.compare_panel import ComparePanel
from widgets.data_panel import DataPanel
from widgets.engine import Engine, Labkit
from widgets.jobs import Job, Log, Pump
from widgets.live import LiveImage, stack
from widgets.state import LabState
from widgets.train_panel import TrainPanel

RUNS_FOLDER = "runs"
_VIEW = "application/vnd.jupyter.widget-view+json"


class Lab:
    """Launch, preprocess, train and compare by pressing buttons.

    The buttons call the same functions that a cell calls, and what they made is here for the
    cells below: ``lab.cluster``, ``lab.dataset``, ``lab.run``, ``lab.curve`` (``None`` before).
    Nothing blocks the kernel. A kernel has one lab: a new one closes the one before it, so that
    a cell that is run again leaves no workers behind.

    Args:
        cluster: a running cluster to use; it stays the caller's, ``close()`` leaves it open.
        engine: what the buttons call, ``labkit`` itself.
        runs: the folder in which every run and sweep is kept, beside the notebook.
    """

    _newest: ClassVar[weakref.ReferenceType[Lab] | None] = None

    def __init__(
        self,
        cluster: Cluster | None = None,
        *,
        engine: Engine | None = None,
        runs: Path | str = RUNS_FOLDER,
    ) -> None:
        before = Lab._newest() if Lab._newest is not None else None
        if before is not None:
            before.close()
        Lab._newest = weakref.ref(self)
        self.log = Log()
        self.state = LabState(
            engine=engine or Labkit(), log=self.log, store=RunStore(runs), cluster=cluster
        )
        self.accessibility = Accessibility()
        self._closed = False
        self._handles: list[DisplayHandle] = []
        self._frozen: tuple[str, ...] = ()
        self._header = ipw.HTML()
        self._log_view = ipw.HTML()
        self.pump = Pump(self._render, self._busy, self.log)
        self.cluster_panel = ClusterPanel(self.state, self.pump)
        self.data_panel = DataPanel(self.state, self.pump)
        self.train_panel = TrainPanel(self.state, self.pump)
        self.compare_panel = ComparePanel(self.state, self.pump)
        self.panels = (self.cluster_panel, self.data_panel, self.train_panel, self.compare_panel)
        cards = [panel.widget for panel in self.panels]
        self.widget = ipw.VBox([self._header, *cards, self._log_view, self.accessibility])
        self.widget.add_class("lab-root")
        self.accessibility.observe(lambda _: self.pump.poke(), "dark")
        self.pump.call(self._render)

    # -- what the widgets made -----------------------------------------------------------------

    @property
    def cluster(self) -> Cluster | None:
        """The running cluster."""
        return self.state.cluster

    @property
    def dataset(self) -> Any:
        """The newest ``Dataset``."""
        return self.state.dataset

    @property
    def run(self) -> Any:
        """The newest ``Run``, live or done."""
        return self.state.run

    @property
    def curve(self) -> Curve | None:
        """The newest ``Curve``, growing or complete."""
        return self.state.curve

    # -- life ----------------------------------------------------------------------------------

    def wait_idle(self, timeout_s: float) -> None:
        """Wait until no job is at work and the widgets show it.

        Raises:
            TimeoutError: a job is still at work after ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        jobs = (*self.state.jobs, *self.state.background)
        begun = -1
        while begun != sum(job.num_starts for job in jobs):  # a render may begin a quiet one
            begun = sum(job.num_starts for job in jobs)
            for job in jobs:
                if not job.wait(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError(
                        f"{job.name} is still at work after {timeout_s:.0f} s; stop it"
                    )
            self.pump.call(self._render)

    def _busy(self) -> bool:
        return self.state.active_job is not None

    def close(self) -> None:
        """End every job, close the cluster that this lab launched, and stop drawing."""
        if self._closed:
            return
        self._closed = True
        jobs = (*self.state.jobs, *self.state.background, *self.state.watches)
        for job in jobs:
            job.stop()
        for job in jobs:
            job.wait(END_S)
        if self.cluster_panel.owned:
            self.cluster_panel.end()
        self.pump.close()

    def __repr__(self) -> str:
        return f"Distributed training lab: {self._state()}"

    # -- display -------------------------------------------------------------------------------

    def _state(self) -> str:
        job = self.state.active_job
        if self._closed:
            return "closed"
        if job is not None:
            return f"{job.name} {job.state}"
        return "ready" if self.state.cluster is not None else "no workers yet"

    def _render(self) -> None:
        self.state.theme = DARK if self.accessibility.dark else LIGHT
        job = self.state.active_job
        self._render_header(job)
        for panel in self.panels:
            panel.render()
        self._log_view.value = self.log.html()
        images = self._images()
        self.accessibility.alts = {image.css_class: image.alt for image in images}
        if job is None:
            self._freeze()

    def _render_header(self, job: Job | None) -> None:
        chip = f'<span class="lab-chip {job.state if job else ""}" role="status">'
        self._header.value = (
            f'<div class="lab-header"><h2>Distributed training lab</h2>{chip}'
            f'{escape(self._state())}</span><span class="lab-kind">{escape(self._kinds())}'
            "</span></div>"
        )

    def _kinds(self) -> str:
        """What kind of runs the cards show; each card's own where they differ."""
        train, compare = self.train_panel.kind_note, self.compare_panel.kind_note
        return train if train == compare else f"Train: {train} | Compare: {compare}"

    def _images(self) -> list[LiveImage]:
        return [image for panel in self.panels for image in panel.images]

    def _freeze(self) -> None:
        """Let the cell's saved output hold the pictures, whenever they have changed."""
        shown = tuple(image.alt for image in self._images() if image.kept and image.png)
        if shown == self._frozen or not self._handles:
            return
        self._frozen = shown
        bundle = self._bundle()
        for handle in self._handles:
            handle.update(bundle, raw=True)

    def _bundle(self) -> dict[str, Any]:
        """The live view, and what a reader without a kernel sees instead."""
        images = [image for image in self._images() if image.kept and image.png]
        bundle: dict[str, Any] = {
            _VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id},
            "text/plain": "\n".join([repr(self), *(image.alt for image in images)]),
        }
        if images:
            page = stack([image.png for image in images], self.state.theme.background)
            bundle["image/png"] = base64.b64encode(page).decode("ascii")
        return bundle

    def _ipython_display_(self) -> None:
        handle = display(self.pump.call(self._bundle), raw=True, display_id=uuid.uuid4().hex)
        if handle is not None:
            self._handles.append(handle)
