"""The picture of a sweep: one line a strategy, the ideal, and where the machine ends."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from labkit.figures.picture import alt_of
from labkit.figures.speedup import SpeedupPicture, efficiency_figure, speedup_figure
from labkit.figures.style import DARK, KIND_NOTES
from labkit.runs.curve import Curve

NOTE = "2 cores: speedup above 2 cannot be measured here, emulate"


def legend_of(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


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


def test_linear_speedup_has_slope_one(curve: Curve) -> None:
    axes = speedup_figure(curve).axes[0]
    ideal = axes.lines[0]
    assert list(ideal.get_xdata()) == list(ideal.get_ydata()) == [1, 4]
    assert "linear" in [text.get_text() for text in axes.texts]


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
    curve.put(replace(last, strategy="data+sync=average+sync_every=8", speedup=0.91))
    picture = SpeedupPicture(curve, (1, 2, 4))
    picture.figure.draw_without_rendering()
    labels = [text for text in picture.axes.texts if text.get_weight() == "bold"]
    boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.y0)
    assert len(boxes) == 4
    assert all(lower.y1 <= upper.y0 for lower, upper in pairwise(boxes))
    assert max(box.x1 for box in boxes) < 900


def test_variant_is_named_by_what_it_changes_and_looks_different(curve: Curve) -> None:
    last = curve.points[2]
    curve.put(replace(last, strategy="data+sync=ring"))
    picture = SpeedupPicture(curve, (1, 2, 4))
    assert "ring 1.70" in texts_of(picture)
    looks = {
        (line.get_color(), line.get_marker()) for line in picture.axes.lines if line.get_lw() == 2
    }
    assert len(looks) == 3


def test_ideal_of_each_plan_is_a_thin_line_with_hollow_markers(emulated_curve: Curve) -> None:
    axes = speedup_figure(emulated_curve).axes[0]
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [line.get_marker() for line in hollow] == ["o", "^"]
    assert np.allclose(hollow[0].get_ydata(), np.multiply(1.1, [1.0, 1.8, 1.7]))
    assert legend_of(axes)[1] == "ideal of this plan on the declared device"


def test_late_points_are_crossed_and_called_untrustworthy(emulated_curve: Curve) -> None:
    figure = speedup_figure(emulated_curve)
    crosses = next(line for line in figure.axes[0].lines if line.get_marker() == "x")
    assert list(crosses.get_ydata()) == [0.9]
    assert legend_of(figure.axes[0])[-1] == "untrustworthy: more than 5% late"
    assert "tensor 0.90 on 4, untrustworthy" in alt_of(figure)
    assert "UNTRUSTWORTHY: 1 of 4 up to 9% late" in [text.get_text() for text in figure.texts]


def test_signs_are_explained_as_soon_as_they_appear(curve: Curve, emulated_curve: Curve) -> None:
    emulated_curve.points, late = emulated_curve.points[:-1], emulated_curve.points[-1]
    picture = SpeedupPicture(emulated_curve, (1, 2, 4))
    emulated_curve.put(late)
    assert picture.update(emulated_curve)
    assert not picture.update(emulated_curve)
    measured = SpeedupPicture(curve, (1, 2, 4))
    assert measured.axes.get_legend() is None


def test_live_order_is_the_order_of_a_saved_picture(emulated_curve: Curve) -> None:
    heights = [artist.get_zorder() for artist in SpeedupPicture(emulated_curve, (1, 4)).moving]
    assert heights == sorted(heights)


def test_efficiency_is_speedup_per_device(curve: Curve) -> None:
    figure = efficiency_figure(curve)
    axes = figure.axes[0]
    lines = {line.get_marker(): line for line in axes.lines if line.get_marker() != "None"}
    assert list(lines["o"].get_ydata()) == [1.0, 0.9, 0.425]
    assert axes.get_ylabel() == "efficiency = speedup / devices"
    assert "2 cores: efficiency above 2/N cannot be measured here, emulate" in [
        text.get_text() for text in axes.texts
    ]
    assert "data 42% on 4" in alt_of(figure)


def test_emulated_curve_is_called_so_with_its_device(emulated_curve: Curve) -> None:
    figure = speedup_figure(emulated_curve)
    assert figure.axes[0].get_title("right") == "EMULATED on demo: real ranks, declared speed"
    remarks = [text.get_text() for text in figure.texts]
    assert remarks[0].startswith("emulated demo, time x 35: checks protocol")
    assert NOTE not in [text.get_text() for text in figure.axes[0].texts]


def test_says_that_it_was_measured(curve: Curve) -> None:
    axes = speedup_figure(curve).axes[0]
    assert axes.get_title("right") == KIND_NOTES["measured"]
    assert axes.get_title("left") == "Speedup of 'text', strong scaling"
    assert axes.get_xlabel() == "devices"
