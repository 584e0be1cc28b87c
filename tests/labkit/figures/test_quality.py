"""What each global batch took to reach a loss."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.figures.picture import alt_of
from labkit.figures.quality import quality_figure
from labkit.runs.quality import BatchPoint


def point(batch: int, steps: int, *, reached: bool = True, kind: str = "measured") -> BatchPoint:
    return BatchPoint(
        global_batch=batch, learning_rate=0.1, steps=steps, samples=batch * steps,
        seconds=steps / 100, reached=reached, kind=kind, run=f"run-{batch}",
    )  # fmt: skip


POINTS = [point(256, 50), point(64, 160), point(128, 80), point(512, 100, reached=False)]


def test_steps_and_samples_stand_against_the_batch_on_logarithmic_axes() -> None:
    steps, samples = quality_figure(POINTS, target=0.3).axes
    for axes in (steps, samples):
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert list(axes.lines[1].get_xdata()) == [64, 128, 256]
    assert list(steps.lines[1].get_ydata()) == [160, 80, 50]
    assert list(samples.lines[1].get_ydata()) == [10240, 10240, 12800]
    assert (steps.get_ylabel(), samples.get_ylabel()) == (
        "steps to the target",
        "samples to the target",
    )


def test_perfect_scaling_halves_the_steps_and_keeps_the_samples() -> None:
    steps, samples = quality_figure(POINTS).axes
    xs, ys = steps.lines[0].get_data()
    assert [x * y for x, y in zip(xs, ys, strict=True)] == pytest.approx([10240, 10240])
    assert list(samples.lines[0].get_ydata()) == [10240, 10240]


def test_batch_that_never_reached_the_target_is_hollow() -> None:
    figure = quality_figure(POINTS)
    given_up = figure.axes[0].lines[2]
    assert list(given_up.get_xdata()) == [512]
    assert given_up.get_markerfacecolor() == "none"
    assert "batch 512: not reached after 100 steps, 51,200 samples, 1 s" in alt_of(figure)


@pytest.mark.parametrize("points", [POINTS[:1], POINTS[3:]], ids=["one", "never"])
def test_few_points_are_drawn(points: list[BatchPoint]) -> None:
    figure = quality_figure(points)
    figure.draw_without_rendering()
    assert all(f"batch {p.global_batch:,}" in alt_of(figure) for p in points)


def test_emulated_points_carry_the_remark(emulated: dict[str, Any]) -> None:
    points = [point(64, 160, kind="emulated")]
    figure = quality_figure(points, workload="text", emulation=emulated["emulation"])
    assert figure.axes[1].get_title("right").startswith("EMULATED on demo")
    assert figure.texts[1].get_text() == "UNTRUSTWORTHY: 8% late"
    assert figure.axes[0].get_title("left") == "What it takes to reach a loss: text"


def test_no_point_is_refused() -> None:
    with pytest.raises(ValueError, match="no global batch has been tried yet"):
        quality_figure([])
