"""Panel 1: launch workers, see what they are and do, attack the run on them, close them."""

from __future__ import annotations

from html import escape

import ipywidgets as ipw

from labkit.cluster.cluster import Cluster
from widgets.attack_form import AttackForm
from widgets.cluster_map_view import ClusterMapView
from widgets.jobs import Pump
from widgets.markup import hint, note, table
from widgets.panel import Panel, action_button, int_slider
from widgets.runs_here import RunsHere
from widgets.state import LabState

MAX_WORKERS = 16
END_S = 10.0


class ClusterPanel(Panel):
    """Workers and their devices; the lab owns the cluster that it launched."""

    def __init__(self, state: LabState, pump: Pump) -> None:
        super().__init__(number=1, title="Cluster", verb="launch", state=state, pump=pump)
        self.owned = False
        self.workers_slider = int_slider("Workers", 1, MAX_WORKERS, state.planned_workers)
        self.launch_button = action_button(
            "Launch", "rocket", "primary", "Start one worker per device"
        )
        self.close_button = action_button("Close", "power-off", "", "End the runs and the workers")
        self.about = ipw.HTML()
        self.map = ClusterMapView(state, self.new_image("lab-picture-cluster", kept=False))
        self.attacks = AttackForm(state, pump)
        self.runs_here = RunsHere(state, pump, self.new_image("lab-picture-followed", kept=False))
        self.fill(
            [
                self.workers_slider,
                ipw.HBox([self.launch_button, self.close_button]),
                self.attacks.widget,
                self.runs_here.controls,
            ],
            [self.map.widget, self.about, self.runs_here.results],
        )
        for button, action in (*self.attacks.actions, *self.runs_here.actions):
            self.on_click(button, action)
        self.on_change(self.workers_slider)
        self.on_click(self.launch_button, self.launch)
        self.on_click(self.close_button, self.close)

    def launch(self) -> None:
        """Start the workers; nothing happens when there is a cluster already."""
        if self.state.cluster is None:
            self.begin(self._launch, lambda: int(self.workers_slider.value), "launch")

    def close(self) -> None:
        """End the runs, then the workers."""
        if self.state.cluster is not None:
            self.job.start(self.end, "close")

    def end(self) -> None:
        """Stop every other job and close the cluster; blocks, so call it from a job's thread.

        A cluster that the lab was given stays open: the lab only lets go of it.
        """
        others = [job for job in self.state.jobs if job is not self.job]
        others += [*self.state.background, *self.state.watches]
        for job in others:
            job.stop()
        for job in others:
            if not job.wait(END_S):
                self.state.log(f"{job.name} did not stop within {END_S:.0f} s", "error")
        cluster, self.state.cluster = self.state.cluster, None
        if cluster is not None:
            self.state.dataset = None  # its shards lie in the cluster's folder
            if self.owned:
                cluster.close()
            self.state.log("cluster closed" if self.owned else "the cluster given is left open")
        self.owned = False

    def _launch(self, num_workers: int) -> None:
        self.state.log(f"starting {num_workers} workers")
        cluster = self.state.engine.launch(num_workers)
        self.state.cluster = cluster
        self.owned = True
        self.state.log(cluster.why)
        if self.job.stop_event.is_set():
            self.end()

    def render(self) -> None:
        """Controls, and the table of workers."""
        cluster = self.state.cluster
        self.state.planned_workers = int(self.workers_slider.value)
        self.workers_slider.disabled = cluster is not None or self.job.active
        self.launch_button.disabled = cluster is not None or self.job.active
        self.close_button.disabled = cluster is None or self.job.active
        self.about.value = hint(_before(self.job.active)) if cluster is None else _about(cluster)
        said = "" if cluster is None else f"{len(cluster.workers)} workers are ready."
        self.render_message(note(said, "Cluster"))
        self.map.render()
        self.attacks.render(self.map.history)
        self.runs_here.render()


def _before(active: bool) -> str:
    if active:
        return "Working on it ..."
    return (
        "No workers yet. Press Launch: one worker is started for each device, a GPU where there "
        "is one, else a process that shares the processor's cores."
    )


def _about(cluster: Cluster) -> str:
    columns = ("worker", "device", "host", "process")
    rows = [
        (str(w["name"]), str(w["device"]), str(w["host"]), str(w["pid"])) for w in cluster.workers
    ]
    workers = table("Workers", columns, rows)
    link = ""
    if cluster.dashboard_url:
        url = escape(cluster.dashboard_url, quote=True)
        link = f'<a href="{url}" target="_blank" rel="noopener">Dask\'s own dashboard</a>'
    cores = ""
    if cluster.kind == "cpu" and cluster.num_cores and cluster.num_cores < len(cluster.workers):
        cores = (
            f" {len(cluster.workers)} workers share {cluster.num_cores} cores: nothing here can "
            f"run more than {cluster.num_cores} times as fast as one worker."
        )
    why = f"{cluster.why}. {cluster.backend_why}."
    return f'<p class="lab-why">{escape(why)}{escape(cores)} {link}</p>{workers}'
