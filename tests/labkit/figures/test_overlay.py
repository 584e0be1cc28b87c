"""A pipeline's step over its ideal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from labkit.figures.colours import mix
from labkit.figures.overlay import PALE, overlay_figure
from labkit.figures.picture import alt_of
from labkit.figures.style import LIGHT
from labkit.plan import Plan
from labkit.runs.record import RunRecord, Span

MakeRecord = Callable[..., RunRecord]


@pytest.fixture
def record(make_record: MakeRecord) -> RunRecord:
    """Two stages and two microbatches."""
    return make_record(Plan(pp=2, microbatches=2), 3)


def step(scale: float, start_s: float = 0.0) -> list[Span]:
    """Two ranks that compute for 30 of 40 ms, times ``scale``."""
    spans = []
    for rank in (0, 1):
        for at, kind in enumerate(("forward", "backward", "backward")):
            begin_s = start_s + scale * 0.01 * (rank + at)
            spans.append(Span(rank, rank, kind, kind, begin_s, 0.01 * scale, at, 0, 1))
    return spans


def bars_of(figure: Figure) -> PolyCollection:
    return next(c for c in figure.axes[0].collections if type(c) is PolyCollection)


def test_each_rank_has_a_row_that_ran_and_a_pale_one_below_it(record: RunRecord) -> None:
    bars = bars_of(overlay_figure(step(1.1, start_s=7.0), step(1.0), record))
    colours = [to_hex(colour) for colour in bars.get_facecolor()]
    forward = LIGHT.spans["forward"]
    assert colours.count(forward.lower()) == 2
    assert colours.count(mix(forward, LIGHT.background, PALE)) == 2
    heights: dict[str, list[float]] = {}
    for colour, path in zip(colours, bars.get_paths(), strict=True):
        heights.setdefault(colour, []).append(path.vertices[:, 1].mean())
    ran, ideal = heights[forward.lower()], heights[mix(forward, LIGHT.background, PALE)]
    assert all(above < below for above, below in zip(sorted(ran), sorted(ideal), strict=True))


def test_times_begin_at_nought_and_bubbles_show_through(record: RunRecord) -> None:
    bars = bars_of(overlay_figure(step(1.1, start_s=7.0), step(1.0), record))
    lefts = [path.vertices[:, 0].min() for path in bars.get_paths()]
    assert min(lefts) == pytest.approx(0.0, abs=1e-9)
    colours = [to_hex(colour) for colour in bars.get_facecolor()]
    assert colours[:2] == [LIGHT.spans["idle"].lower()] * 2  # behind everything else
    assert bars.get_paths()[0].vertices[:, 0].max() == pytest.approx(0.044)


def test_lengths_of_both_and_their_ratio_are_written(record: RunRecord) -> None:
    figure = overlay_figure(step(1.1), step(1.0), record)
    said = (
        "measured 44 ms, 25% not computing (solid line); ideal 40 ms, 25% not computing "
        "(dashed): +10.0%"
    )
    assert said in [text.get_text() for text in figure.axes[0].texts]
    assert said in alt_of(figure)
    ends = [line.get_xdata()[0] for line in figure.axes[0].lines]
    assert ends == pytest.approx([0.044, 0.040])


def test_only_kinds_that_the_ideal_has_count_for_the_length(record: RunRecord) -> None:
    ran = [*step(1.0), Span(0, 0, "optimizer", "sgd", 0.04, 0.01, -1, 0, 1)]
    assert "+0.0%" in alt_of(overlay_figure(ran, step(1.0), record))


def test_microbatches_that_ran_are_numbered(record: RunRecord) -> None:
    axes = overlay_figure(step(1.0), step(1.0), record).axes[0]
    numbers = next(c for c in axes.collections if type(c) is PathCollection)
    assert len(numbers.get_offsets()) == 6


def test_nothing_to_compare_is_refused(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="nothing to lay over each other"):
        overlay_figure([], step(1.0), record)
    other = [span._replace(kind="optimizer") for span in step(1.0)]
    with pytest.raises(ValueError, match="no spans of backward, forward, which its ideal has"):
        overlay_figure(other, step(1.0), record)
