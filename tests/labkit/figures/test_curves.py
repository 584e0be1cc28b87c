"""Several sweeps in one picture."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.figures.curves import curve_names, curves_figure
from labkit.figures.picture import alt_of
from labkit.runs.curve import Curve


def test_strategies_share_a_colour_and_sweeps_share_dashes(
    curve: Curve, emulated_curve: Curve
) -> None:
    axes = curves_figure([curve, emulated_curve]).axes[0]
    lines = [line for line in axes.lines if line.get_marker() in ("o", "^")]
    assert len(lines) == 4
    first, second = lines[:2], lines[2:]
    assert [a.get_color() for a in first] == [b.get_color() for b in second]
    assert {line.get_linestyle() for line in first} == {"-"}
    assert {line.get_linestyle() for line in second} == {"--"}


def test_sweeps_are_named_by_what_differs(curve: Curve, emulated_curve: Curve) -> None:
    assert curve_names([curve, emulated_curve]) == ["measured", "emulated on demo"]
    weak = replace(curve, scaling="weak")
    assert curve_names([curve, weak]) == ["strong scaling", "weak scaling"]
    assert curve_names([curve, curve]) == ["measured, sweep 1", "measured, sweep 2"]


def test_ends_say_which_sweep_and_what_speedup(curve: Curve, emulated_curve: Curve) -> None:
    figure = curves_figure([curve, emulated_curve])
    said = {text.get_text() for text in figure.axes[0].texts}
    assert {"1: data 1.70", "2: data 1.70", "1: tensor 0.90", "2: tensor 0.90"} <= said
    assert "emulated on demo: data 1.70 on 4, tensor 0.90 on 4" in alt_of(figure)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["1: measured", "2: emulated on demo", "untrustworthy: more than 5% late"]


def test_names_can_be_given(curve: Curve) -> None:
    axes = curves_figure([curve, curve], ["before", "after"]).axes[0]
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend == ["1: before", "2: after"]
    with pytest.raises(ValueError, match="1 names for 2 curves"):
        curves_figure([curve, curve], ["before"])


def test_curves_without_points_are_refused(curve: Curve) -> None:
    with pytest.raises(ValueError, match="no curve has a point yet"):
        curves_figure([replace(curve, points=[])])
