"""Accuracy with its spread beside the seconds, and variants that could not be trained."""

from __future__ import annotations

import pytest

from labkit.figures.picture import alt_of
from labkit.figures.step_effect import step_effect_figure
from labkit.figures.style import DARK, LIGHT, Theme
from labkit.runs.step_effect_result import StepEffect, Trial, VariantEffect


def variant(name: str, *accuracies: float | None) -> VariantEffect:
    return VariantEffect(
        name,
        ("cleaning",),
        tuple(
            Trial(
                seed=seed, accuracy=value, accuracy_recorded=value, judged_by_truth=True,
                things=100, preprocess_s=2.0, train_s=0.5, rows=900, inputs=5,
                reason="" if value is not None else "diverged by step 3",
            )
            for seed, value in enumerate(accuracies)
        ),
    )  # fmt: skip


EFFECT = StepEffect(
    workload="fruit",
    dataset="fruit",
    training_steps=40,
    variants=(
        variant("all steps", 0.99, 1.0),
        variant("no cleaning", 0.94, 0.96),
        variant("no step", None, None),
    ),
)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_each_variant_has_its_seeds_its_mean_and_its_seconds(theme: Theme) -> None:
    figure = step_effect_figure(EFFECT, theme)
    figure.draw_without_rendering()
    right, seconds = figure.axes
    assert [label.get_text() for label in right.get_yticklabels()] == [
        "all steps", "no cleaning", "no step",
    ]  # fmt: skip
    rings = [list(line.get_xdata()) for line in right.lines if line.get_markersize() == 5]
    assert rings == [[0.99, 1.0], [0.94, 0.96]]
    assert [text.get_text() for text in right.texts][:2] == ["99.5%", "95.0%"]
    assert len(seconds.patches) == 6
    assert [bar.get_width() for bar in seconds.patches[:2]] == [2.0, 0.5]


def test_a_variant_that_was_not_trained_says_why() -> None:
    figure = step_effect_figure(EFFECT)
    assert "not trained: diverged by step 3" in figure.axes[0].texts[-1].get_text()
    said = alt_of(figure)
    assert "no cleaning: 95.00% right (94.00% to 96.00%)" in said
    assert "no step: not trained (diverged by step 3)" in said


def test_the_picture_says_what_decides_and_that_it_was_measured() -> None:
    figure = step_effect_figure(EFFECT)
    assert figure.axes[0].get_xlabel().endswith("by true class")
    assert any(text.get_text().startswith("MEASURED") for text in figure.texts)


def test_nothing_trained_is_drawn_as_well() -> None:
    alone = StepEffect(
        workload="fruit", dataset="fruit", training_steps=1, variants=(variant("no step", None),)
    )
    step_effect_figure(alone).draw_without_rendering()
