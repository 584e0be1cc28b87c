"""Losses of several runs beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from labkit.figures.loss import running_mean
from labkit.figures.losses import losses_figure
from labkit.figures.picture import alt_of
from labkit.figures.style import DARK
from labkit.plan import Plan
from labkit.runs.quality import time_to_loss
from labkit.runs.record import RunRecord, Step

MakeRecord = Callable[..., RunRecord]


@pytest.fixture
def two(make_record: MakeRecord) -> list[RunRecord]:
    """A run of 40 steps and one whose loss falls half as far."""
    fast, slow = make_record(Plan(dp=2), 40), make_record(Plan(dp=2, sync="ring"), 40)
    slow.steps = [step._replace(loss=1 + step.loss / 2) for step in slow.steps]
    return [fast, slow]


def lines_of(figure: Any) -> list[Any]:
    return [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]


def bold_of(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold"]


def test_each_run_is_a_line_of_running_means(two: list[RunRecord]) -> None:
    lines = lines_of(losses_figure(two))
    assert len(lines) == 2
    for line, record in zip(lines, two, strict=True):
        assert list(line.get_ydata()) == running_mean(record.losses, 5)
    assert lines[0].get_color() != lines[1].get_color()


@pytest.mark.parametrize(
    ("x", "last", "label"),
    [
        ("step", 40, "optimiser steps"),
        ("seconds", 4.0, "seconds since the first step began"),
        ("samples", 2560, "samples seen"),
    ],
)
def test_axis_counts_what_was_asked_for(
    two: list[RunRecord], x: Any, last: float, label: str
) -> None:
    figure = losses_figure(two, x)
    assert lines_of(figure)[0].get_xdata()[-1] == pytest.approx(last)
    assert figure.axes[0].get_xlabel() == label


def test_target_is_marked_where_a_run_first_reaches_it(two: list[RunRecord]) -> None:
    figure = losses_figure(two, target=0.5)
    rings = [line for line in figure.axes[0].lines if line.get_markersize() == 13]
    quality = time_to_loss(two[0], 0.5)
    assert quality is not None
    assert [list(ring.get_xdata()) for ring in rings] == [[quality.steps]]
    assert bold_of(figure)[0] == f"dp=2\ntarget at step {quality.steps}"
    assert bold_of(figure)[1].startswith("dp=2 ring\ntarget not reached: 1.0")
    assert "target 0.5" in [text.get_text() for text in figure.axes[0].texts]
    assert f"dp=2: target at step {quality.steps}; dp=2 ring: target not" in alt_of(figure)


def test_seconds_and_samples_to_the_target_are_those_of_time_to_loss(two: list[RunRecord]) -> None:
    quality = time_to_loss(two[0], 0.5)
    assert quality is not None
    assert bold_of(losses_figure(two, "samples", target=0.5))[0].endswith(
        f"target at {quality.samples:,} samples"
    )
    assert bold_of(losses_figure(two, "seconds", target=0.5))[0].endswith(
        f"target at {quality.seconds:.3g} s"
    )


def test_names_of_eight_runs_stay_in_the_picture(make_record: MakeRecord) -> None:
    records = [make_record(Plan(dp=2), 9, run=f"run-{number}") for number in range(8)]
    figure = losses_figure(records, theme=DARK)
    figure.draw_without_rendering()
    height_px = 100 * figure.get_figheight()
    labels = [text for text in figure.axes[0].texts if text.get_weight() == "bold"]
    boxes = [text.get_window_extent() for text in labels]
    assert len(boxes) == 8
    assert all(box.y0 > 0 and box.y1 < height_px and box.x1 < 900 for box in boxes)
    assert len({line.get_marker() for line in lines_of(figure)}) == 8


def test_losses_that_fell_far_are_drawn_on_a_logarithmic_axis(two: list[RunRecord]) -> None:
    two[0].steps += [Step(n, 1e-4, 64, 0.1, 3.0) for n in range(40, 60)]
    axes = losses_figure(two).axes[0]
    assert axes.get_yscale() == "log"
    assert np.isfinite(axes.get_ylim()).all()


def test_nothing_to_draw_is_said(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="x='epochs' is no axis; choose step or seconds or"):
        losses_figure([record], "epochs")  # type: ignore[arg-type]
    record.steps = []
    with pytest.raises(ValueError, match="no run has a step yet"):
        losses_figure([record])
