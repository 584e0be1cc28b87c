"""Runs of others on somebody's scheduler: which there are, one of them live, and an end to it."""

from __future__ import annotations

from typing import Any

import ipywidgets as ipw

from labkit.cluster.place_in_line import describe_place, ordinal
from labkit.cluster.posted_run import FoundRun
from labkit.errors import LabError
from labkit.figures.loss import LossPicture
from labkit.figures.style import Theme
from labkit.runs.record import RunRecord
from widgets.fields import offer
from widgets.jobs import Job, Pump
from widgets.live import LiveImage
from widgets.markup import alert, hint, note, table
from widgets.panel import DESCRIPTION, FULL, action_button
from widgets.state import LabState

FOLLOW, LET_GO = "Follow", "Let go"
POKE_S = 0.5
STOP_S = 30.0
NOBODY = "No run of anybody else is on this scheduler. Press Look to look again."


class RunsHere:
    """A list, and buttons to look again, to follow a run, and to stop it.

    Attributes:
        controls, results: what goes into the panel; hidden unless the cluster is somebody's.
        job: looks and stops, each a matter of moments.
        watch: goes on as long as a run is followed, beside whatever the panels do.
    """

    def __init__(self, state: LabState, pump: Pump, image: LiveImage) -> None:
        self.state = state
        self.pump = pump
        self.image = image
        self.job = Job("look", state.log, pump.poke, quiet=True)
        state.background.append(self.job)
        self.watch = Job("follow", state.log, pump.poke)
        state.watches.append(self.watch)
        self.choice = ipw.Dropdown(description="Run", style=DESCRIPTION, layout=FULL)
        self.look_button = action_button("Look", "refresh", "", "Ask which runs there are now")
        self.follow_button = action_button(FOLLOW, "eye", "", "Watch the chosen run, or no more")
        self.stop_button = action_button(
            "Stop run", "stop", "danger", "Stop the chosen run of somebody else"
        )
        self.about = ipw.HTML()
        buttons = ipw.HBox([self.look_button, self.follow_button, self.stop_button])
        heading = ipw.HTML("<h4>Runs of others</h4>")
        self.controls = ipw.VBox([heading, self.choice, buttons])
        self.results = ipw.VBox([self.about, image.widget])
        self.actions = [
            (self.look_button, self.look),
            (self.follow_button, self.follow),
            (self.stop_button, self.stop),
        ]
        self._found: list[FoundRun] = []
        self._looked_at: Any = None  # the cluster
        self._followed: Any = None
        self._picture: tuple[Any, Theme, LossPicture] | None = None

    # -- what the buttons do ---------------------------------------------------------------------

    def look(self) -> None:
        """Ask the scheduler which runs there are."""
        self.job.start(self._look, "look")

    def follow(self) -> None:
        """Follow the chosen run; or let the one that is followed go."""
        if self.watch.active:
            self.watch.stop()
        else:
            cluster, run = self.state.cluster, self.choice.value
            self.watch.start(lambda: self._follow(cluster, run))

    def stop(self) -> None:
        """Stop the chosen run."""
        cluster, run = self.state.cluster, self.choice.value
        self.job.start(lambda: self._stop(cluster, run), "stop a run")

    def _look(self) -> None:
        cluster = self.state.cluster
        if cluster is not None:
            found = self.state.engine.runs_on(cluster)
            self._found = [each for each in found if each.topic != cluster.topic]

    def _follow(self, cluster: Any, run: str | None) -> None:
        followed = self._followed = self.state.engine.follow(cluster, _chosen(run))
        try:
            while not followed.done and not self.watch.stop_event.wait(POKE_S):
                self.pump.poke()
        finally:
            followed.close()
        if not self.watch.stop_event.is_set():
            record = followed.view()
            error = f": {record.error}" if record.error else ""
            self.state.log(f"run {run} has ended, {record.status}{error}")

    def _stop(self, cluster: Any, run: str | None) -> None:
        followed = self.state.engine.follow(cluster, _chosen(run))
        try:
            followed.stop()
            record = followed.wait(STOP_S)
        finally:
            followed.close()
        self.state.log(f"run {run} of somebody else: {record.status}")
        self._look()

    # -- on the pump's thread --------------------------------------------------------------------

    def render(self) -> None:
        """The list, and the run that is followed as it is now."""
        cluster = self.state.cluster
        there = cluster is not None and cluster.kind == "existing"
        for part in (self.controls, self.results):
            part.layout.display = "" if there else "none"
        if not there:
            self._found, self._looked_at = [], None
            return
        if self._looked_at is not cluster:
            self._looked_at = cluster
            self.look()
        options = [(f"{each.run} of {each.user}", each.run) for each in self._found]
        offer(self.choice, options)
        watching = self.watch.active
        self.follow_button.description = LET_GO if watching else FOLLOW
        self.follow_button.disabled = not (watching or options)
        self.look_button.disabled = self.job.active
        self.stop_button.disabled = self.job.active or not options
        trouble = alert(self.job.error or self.watch.error)
        rows = [_row(each) for each in self._found]
        listed = table("Runs of others", COLUMNS, rows) if rows else hint(NOBODY)
        self.about.value = trouble + listed + self._render_followed()

    def _render_followed(self) -> str:
        """Draw the loss of the followed run; what is said of it."""
        followed = self._followed
        if followed is None:
            return ""
        record: RunRecord = followed.view()
        if self._picture is None or self._picture[:2] != (followed, self.state.theme):
            self._picture = (followed, self.state.theme, LossPicture(record, self.state.theme))
        if record.steps:
            self.image.show_live(self._picture[2], record)
        place = f", {describe_place(record.queue_position)}" if record.queue_position else ""
        return note(f"Run {record.run}: {record.status}{place}. {record.error}".strip(), "Followed")


COLUMNS = ("run", "workload", "strategy", "workers", "status", "step", "owner")


def _row(found: FoundRun) -> tuple[str, ...]:
    place = f", {ordinal(found.position)} in the line" if found.position else ""
    return (
        found.run,
        found.workload,
        found.strategy,
        str(found.world_size),
        f"{found.status}{place}",
        f"{found.step} of {found.planned_steps}",
        f"{found.user} on {found.host}",
    )


def _chosen(run: str | None) -> str:
    if run is None:
        raise LabError("no run is chosen; press Look first")
    return run
