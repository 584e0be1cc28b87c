"""The live map of the cluster, in its panel."""

from __future__ import annotations

import time

from labkit.figures.cluster_map import ClusterMap
from labkit.figures.style import Theme
from labkit.runs.attack_story import tell
from labkit.runs.cluster_view import ClusterView, cluster_view
from widgets.live import LiveImage
from widgets.state import LabState

LEAST_S = 0.5  # between two pictures of a live run, whose load is sampled as often


class ClusterMapView:
    """Draws the map when something has changed, at most twice a second.

    Attributes:
        widget: what is displayed.
        history: sentences on what happened to the newest run, oldest first.
    """

    def __init__(self, state: LabState, image: LiveImage) -> None:
        self.state = state
        self.image = image
        self.widget = image.widget
        self.history: list[str] = []
        self._shown: tuple[ClusterView, Theme] | None = None
        self._map: ClusterMap | None = None
        self._drawn_s = float("-inf")

    def render(self) -> None:
        """Show the cluster and its run as they are now; on the pump's thread only."""
        cluster, run = self.state.cluster, self.state.run
        if cluster is None or not cluster.workers:
            self.image.clear()
            self._shown, self.history = None, []
            return
        live = run is not None and not run.done
        if live and self._shown and time.monotonic() - self._drawn_s < LEAST_S:
            return
        record = None if run is None else run.view()
        self.history = [] if record is None else tell(record)
        view = cluster_view(
            cluster.workers,
            record,
            clock_s=0.0 if run is None else run.clock_s,
            history=self.history,
            before=self._shown[0] if self._shown else None,
        )
        if (view, self.state.theme) != self._shown:
            self._draw(view, self.state.theme)

    def _draw(self, view: ClusterView, theme: Theme) -> None:
        if self._map is None or self._map.theme is not theme or not self._map.fits(view):
            self._map = ClusterMap(view, theme)
        self.image.show_live(self._map, view)
        self._shown, self._drawn_s = (view, theme), time.monotonic()
