"""The map of a cluster: every state, no text on another, from two workers to sixteen."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, cycle
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from labkit.figures.cluster_map import STATE_COLOURS, ClusterMap
from labkit.figures.cluster_map_layout import GAP_IN
from labkit.figures.picture import alt_of
from labkit.figures.style import DARK, LIGHT, Theme
from labkit.runs.cluster_view import ClusterView, WorkerView

SENTENCE = (
    "20.1 s: you killed rank 0, the leader. Noticed after 0.03 s; rank 1 elected for term 12 after "
    "0.75 s without a leader; going on after 1.23 s from step 8000 with 16 ranks (3000 steps done "
    "again)."
)


def make_view(num_hosts: int, num_workers: int, **changes: Any) -> ClusterView:
    """Workers in every state, the first of them the leader's, on as many hosts."""
    states = cycle(STATE_COLOURS)
    workers = []
    for at in range(num_workers):
        state = "running" if at == 0 else next(states)
        has_rank = state not in ("free", "gone")
        workers.append(
            WorkerView(
                name=str(at) if at % 3 else f"tls://192.168.100.{at}:45123",
                host=f"machine-{at * num_hosts // num_workers}",
                device="CPU" if at % 2 else f"GPU {at}",
                rank=at if has_rank else None,
                state=state,
                leads=at == 0,
                busy=0.97 if has_rank else None,
                memory_bytes=123_456_789 if has_rank else 0,
            )
        )
    values: dict[str, Any] = {
        "workers": tuple(workers),
        "title": "text, hybrid on 16: step 12345 of 20000, restart 3",
        "kind": "emulated",
        "term": 12,
        "inside_bytes": 1.23e6,
        "across_bytes": 3.2e5,
        "link_factor": 10.0,
        "history": (SENTENCE,) * 5,
    }
    return ClusterView(**(values | changes))


def overlaps(figure: Any) -> list[tuple[str, str]]:
    """Pairs of texts that cover each other, and texts that leave the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = {
        text: text.get_window_extent(renderer)
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible()
    }
    page = figure.bbox
    out = [
        (t.get_text(), "the edge")
        for t, box in boxes.items()
        if box.x0 < 0 or box.y0 < 0 or box.x1 > page.x1 or box.y1 > page.y1
    ]
    return out + [
        (a.get_text(), b.get_text())
        for (a, one), (b, other) in combinations(boxes.items(), 2)
        if one.shrunk(0.98, 0.9).overlaps(other.shrunk(0.98, 0.9))
    ]


@pytest.mark.parametrize(
    ("num_hosts", "num_workers", "theme"),
    [(1, 2, LIGHT), (1, 8, DARK), (1, 16, LIGHT), (2, 16, LIGHT), (3, 9, DARK), (4, 16, DARK)],
)
def test_no_text_covers_another(num_hosts: int, num_workers: int, theme: Theme) -> None:
    picture = ClusterMap(make_view(num_hosts, num_workers), theme)
    assert overlaps(picture.figure) == []
    for place, text in _texts_in_boxes(picture):
        assert place[0] <= text[0], "text stays in its box"
        assert text[1] <= place[1]


def _texts_in_boxes(picture: ClusterMap) -> list[tuple[Any, Any]]:
    """Left and right edges of each worker's box, and of each text that stands in it."""
    canvas = FigureCanvasAgg(picture.figure)
    canvas.draw()
    found = []
    for box in picture._boxes:
        paper = box.paper.get_window_extent(canvas.get_renderer())
        for text in picture.figure.findobj(Text):
            extent = text.get_window_extent(canvas.get_renderer())
            inside = paper.y0 < extent.y0 < paper.y1 and paper.x0 <= extent.x0 < paper.x1
            if text.get_text() and inside:
                found.append(((paper.x0, paper.x1), (extent.x0, extent.x1)))
    assert found
    return found


@pytest.mark.parametrize("num_workers", [4, 8])
def test_workers_fill_the_width_of_their_host_and_are_named(num_workers: int) -> None:
    workers = [
        WorkerView(name=str(at), host="here", device=f"GPU {at}, NVIDIA H100")
        for at in range(num_workers)
    ]
    picture = ClusterMap(ClusterView(workers=tuple(workers)))
    (frame,), places = [host.frame for host in picture._layout.hosts], picture._layout.workers
    assert frame.x + frame.width - (places[-1].x + places[-1].width) == pytest.approx(GAP_IN)
    shown = [text.get_text() for text in picture.figure.findobj(Text)]
    names = [text.split(",")[0] for text in shown if text.startswith("worker ")]
    assert names == [f"worker {at}" for at in range(num_workers)]


def test_states_and_the_leader_are_seen_and_said() -> None:
    view = make_view(2, 8)
    picture = ClusterMap(view, LIGHT)
    assert [box.star.get_visible() for box in picture._boxes] == [True] + [False] * 7
    shown = {text.get_text() for text in picture.figure.findobj(Text)}
    assert {"leads (term 12)", "97% busy", "0.97 cores", "slowed", "lost", "waits"} <= shown
    assert (
        "Links carry 1.23 MB a step inside the hosts, 320 kB between them; slowed 10 times" in shown
    )
    alt = alt_of(picture.figure)
    assert alt.startswith("Map of 8 workers on 2 hosts, text, hybrid on 16")
    assert "rank 0, running, leads term 12" in alt
    assert alt.endswith(SENTENCE)


def test_loads_move_and_a_new_state_is_drawn_and_a_new_worker_needs_a_new_map() -> None:
    view = make_view(1, 4)
    picture = ClusterMap(view, LIGHT)
    before = picture._boxes[1].paper.get_edgecolor()
    workers = list(view.workers)
    workers[1] = WorkerView(name="1", host="machine-0", device="CPU", rank=1, state="lost")
    later = make_view(1, 4, workers=tuple(workers), history=())
    assert picture.fits(later)
    assert picture.update(later) is True, "the background is drawn again"
    assert picture.update(later) is False
    busier = replace(later, workers=(replace(workers[0], busy=0.5), *workers[1:]), title="text")
    assert picture.update(busier) is False, "a load moves by itself"
    assert picture._boxes[0].busy.get_text() == "50% busy"
    assert picture._boxes[1].paper.get_edgecolor() != before
    assert picture._boxes[1].busy.get_text() == ""
    assert not picture.fits(make_view(1, 5))


def test_the_newest_sentences_have_room() -> None:
    history = tuple(f"{at}.0 s: you killed rank 1." for at in range(20))
    picture = ClusterMap(make_view(1, 2, history=history), LIGHT)
    lines = picture._history.get_text().split("\n")
    assert lines == [f"{at}.0 s: you killed rank 1." for at in range(19, 13, -1)]


def test_a_cluster_without_a_run_has_a_map() -> None:
    workers = (WorkerView(name="0", host="here", device="CPU"),)
    figure = ClusterMap(ClusterView(workers=workers)).figure
    assert overlaps(figure) == []
    assert alt_of(figure) == "Map of 1 worker, no run. worker 0: no rank"
