"""Pictures of the cluster: its processes, its leaders, and what its messages cost."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from labkit.cluster.processes import LabProcess
from labkit.emulate.device import Link
from labkit.figures.architecture import architecture_figure
from labkit.figures.link import link_figure
from labkit.figures.picture import alt_of
from labkit.figures.terms import terms_figure
from labkit.runs.record import Load, RunRecord, Step

PROCESSES = [
    LabProcess("client", 0, 10, 1, 185_000_000),
    *(LabProcess("worker", number, 20 + number, 10, 140_000_000) for number in range(4)),
    LabProcess("fork server", 0, 30, 20, 52_000_000),
    LabProcess("store", 0, 31, 30, 3_000_000),
    LabProcess("rank", 0, 40, 30, 36_000_000, worker=20),
    LabProcess("rank", 1, 41, 30, 35_000_000, worker=21),
]


def words(figure: Any) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_every_process_is_drawn_with_its_own_memory_and_every_way_is_named() -> None:
    figure = architecture_figure(PROCESSES)
    shown = words(figure)
    for name in ("worker 3", "fork server", "store", "rank 0", "rank 1"):
        assert name in shown
    assert "this notebook: client and scheduler" in shown
    assert "36 MB of its own" in shown
    assert "TLS: tasks, events" in shown
    # Four workers to the client, one to the fork server, two pipes, one between the ranks, a store.
    arrows = [p for p in figure.axes[0].patches if type(p).__name__ == "FancyArrowPatch"]
    assert len(arrows) == 4 + 1 + 2 + 1 + 1
    assert "rank 1 (process 41)" in alt_of(figure)


def test_an_idle_lab_has_no_ranks_to_draw_and_many_workers_are_counted() -> None:
    workers = [LabProcess("worker", number, 20 + number, 10, 1) for number in range(9)]
    shown = words(architecture_figure([PROCESSES[0], *workers]))
    assert "and 3 workers more" in shown
    assert not any("gloo" in word for word in shown)
    with pytest.raises(ValueError, match="has a client and workers, not"):
        architecture_figure(PROCESSES[1:])


def leader(term: int, rank: int, attempt: int, at_s: float, ended: str) -> dict[str, Any]:
    return {
        "term": term, "rank": rank, "attempt": attempt, "elected_at_s": at_s, "election_s": 0.0,
        "ended": ended,
    }  # fmt: skip


def record_with(*leaders: dict[str, Any], recoveries: Any = ()) -> RunRecord:
    record = RunRecord(
        run="r", workload={"name": "fruit"}, plan={}, strategy="data", world_size=2, planned_steps=1
    )
    record.leaders, record.recoveries = list(leaders), list(recoveries)
    record.steps = [Step(step=0, loss=1.0, samples=1, seconds=1.0, end_s=5.0)]
    return record


def test_a_term_ends_with_its_leader_and_not_when_the_next_one_begins() -> None:
    record = record_with(
        leader(1, 0, 0, 0.1, "died"),
        leader(2, 1, 0, 1.5, "attempt ended"),
        leader(3, 0, 1, 2.0, "run ended"),
        recoveries=[{"attempt": 1, "cause": "died", "at_s": 0.8}],
    )
    figure = terms_figure(record, {"leader killed": 0.75, "looked": 1.45})
    bars = [x for p in figure.axes[0].patches for x in (p.get_x(), p.get_x() + p.get_width())]
    assert bars == pytest.approx([0.1, 0.8, 1.5, 2.0, 2.0, 5.0])
    assert "term 2: attempt ended" in words(figure)
    assert "leader killed" in words(figure)
    assert "term 1 rank 0 from 0.10 s, died" in alt_of(figure)
    FigureCanvasAgg(figure).draw()
    texts = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not [True for one, other in combinations(texts, 2) if one.overlaps(other)]


def test_terms_of_an_emulated_run_are_on_the_wall_as_the_samples_of_its_load() -> None:
    record = record_with(leader(1, 0, 0, 0.5, "run ended"))
    record.kind, record.load = "emulated", [Load(0, 9.0, 0.5, 1)]
    record.emulation = {"device": "demo", "time_scale": 100.0, "lateness": 0.0}
    (bar,) = terms_figure(record).axes[0].patches
    assert (bar.get_x(), bar.get_x() + bar.get_width()) == (0.5, 9.0)


def test_a_run_without_a_leader_has_no_terms() -> None:
    with pytest.raises(ValueError, match="run r has had no leader"):
        terms_figure(record_with())


def test_times_stand_beside_their_formulas() -> None:
    link = Link(1e9, 50e-6)
    sizes = (64, 4096, 1 << 20)
    message_s = {size: 50e-6 + size / 1e9 for size in sizes}
    reduced_s = {2: {size: 1e-3 for size in sizes}, 4: {size: 2e-3 for size in sizes}}
    figure = link_figure(message_s, reduced_s, link)
    measured = {line.get_label(): line for line in figure.axes[0].lines}
    assert list(measured["all_reduce, 4 ranks"].get_ydata()) == [2e-3] * 3
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert list(dashed[0].get_ydata()) == pytest.approx(list(message_s.values()))
    assert "latency 50 µs, bandwidth 1 GB/s" in alt_of(figure)
