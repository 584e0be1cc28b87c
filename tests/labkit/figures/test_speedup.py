"""The picture of a sweep: one line a strategy, the ideal, and where the machine ends."""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np
from matplotlib.collections import LineCollection

from labkit.figures.speedup import SpeedupPicture, speedup_figure
from labkit.figures.style import DARK, KIND_NOTES
from labkit.runs.curve import Curve

NOTE = "2 cores: speedup above 2 cannot be measured here"


def texts_of(picture: SpeedupPicture) -> list[str]:
    return [text.get_text() for text in picture.axes.texts]


def test_one_line_a_strategy_with_its_speedups(curve: Curve) -> None:
    axes = speedup_figure(curve).axes[0]
    lines = {line.get_marker(): line for line in axes.lines if line.get_marker() != "None"}
    assert list(lines["o"].get_ydata()) == [1.0, 1.8, 1.7]
    assert list(lines["^"].get_ydata()) == [1.0, 1.2, 0.9]
    assert np.allclose(lines["o"].get_xdata(), [1, 2, 4], atol=0.2)


def test_bars_go_from_the_least_repeat_to_the_greatest(curve: Curve) -> None:
    axes = speedup_figure(curve).axes[0]
    bars = [c for c in axes.collections if isinstance(c, LineCollection)]
    heights = [segment[:, 1].round(6).tolist() for segment in bars[0].get_segments()]
    assert heights == [[0.9, 1.05], [1.7, 1.85], [1.6, 1.75]]


def test_ideal_line_has_slope_one(curve: Curve) -> None:
    axes = speedup_figure(curve).axes[0]
    ideal = axes.lines[0]
    assert list(ideal.get_xdata()) == list(ideal.get_ydata()) == [1, 4]
    assert "ideal" in [text.get_text() for text in axes.texts]


def test_region_above_the_cores_is_marked(curve: Curve) -> None:
    assert NOTE in texts_of(SpeedupPicture(curve, (1, 2, 4)))
    assert NOTE not in texts_of(SpeedupPicture(curve, (1, 2)))
    curve.num_cores = None
    assert NOTE not in texts_of(SpeedupPicture(curve, (1, 2, 4)))


def test_points_appear_one_by_one_without_a_new_background(curve: Curve) -> None:
    growing = copy(curve)
    growing.points = []
    picture = SpeedupPicture(growing, (1, 2, 4), DARK)
    assert picture.alt == "Speedup of text: no point yet"
    for number, point in enumerate(curve.points, start=1):
        growing.put(point)
        assert not picture.update(growing)
        assert picture.alt.startswith(f"Speedup of text, {number} of 6 points")
    assert "data 1.70" in texts_of(picture)


def test_axis_grows_for_a_point_above_it(curve: Curve) -> None:
    picture = SpeedupPicture(curve, (1, 2, 4))
    curve.put(replace(curve.points[1], speedup=5.0, speedup_high=5.5))
    assert picture.update(curve)
    assert picture.axes.get_ylim()[1] > 5.5


def test_labels_of_lines_that_meet_do_not_cover_each_other(curve: Curve) -> None:
    last = curve.points[-1]
    curve.put(replace(last, strategy="hybrid"))
    curve.put(replace(last, strategy="pipeline", speedup=0.91))
    picture = SpeedupPicture(curve, (1, 2, 4))
    heights = sorted(
        text.get_position()[1] for text in picture.axes.texts if text.get_weight() == "bold"
    )
    assert len(heights) == 4
    assert min(np.diff(heights)) > 0.05 * picture.axes.get_ylim()[1]


def test_says_that_it_was_measured(curve: Curve) -> None:
    axes = speedup_figure(curve).axes[0]
    assert axes.get_title("right") == KIND_NOTES["measured"]
    assert axes.get_title("left") == "Speedup of 'text', strong scaling"
    assert axes.get_xlabel() == "devices"
