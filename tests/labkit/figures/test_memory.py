"""Memory of each rank: the formula's stack beside what was measured."""

from __future__ import annotations

import pytest
from matplotlib.colors import to_hex

from labkit.figures.memory import memory_figure, predicted_memory_figure
from labkit.figures.picture import alt_of
from labkit.figures.style import KIND_NOTES, LIGHT, VERMILLION
from labkit.runs.record import RunRecord

PARTS = {"parameters": 1e6, "gradients": 1e6, "optimizer": 2e6, "activations": 4e6}


@pytest.fixture
def measured(record: RunRecord) -> RunRecord:
    """Two ranks with 8 MB by formula; they grew by 8 and 10 MB."""
    record.memory_bytes = {"formula": [PARTS, PARTS], "measured": [8_000_000, 10_000_000]}
    return record


def test_parts_are_stacked_to_the_formula_beside_the_measured_bar(measured: RunRecord) -> None:
    axes = memory_figure(measured).axes[0]
    *parts, bars = axes.containers
    assert [part.get_label() for part in parts] == list(PARTS)
    assert to_hex(parts[0][0].get_facecolor()) == LIGHT.memory["parameters"].lower()
    top = parts[-1][1]
    assert top.get_y() + top.get_height() == 8e6
    assert [bar.get_height() for bar in bars] == [8e6, 10e6]
    assert bars[0].get_x() == pytest.approx(parts[0][0].get_x() + parts[0][0].get_width())
    assert axes.get_ylabel() == "megabytes"


def test_ratio_of_measured_and_formula_stands_above_each_pair(measured: RunRecord) -> None:
    figure = memory_figure(measured)
    assert [text.get_text() for text in figure.axes[0].texts] == ["1.00", "1.25"]
    assert "rank 1 8 MB by formula, 10 MB measured" in alt_of(figure)


def test_one_side_alone_is_drawn(measured: RunRecord) -> None:
    measured.memory_bytes = {"measured": [8_000_000, 10_000_000]}
    axes = memory_figure(measured).axes[0]
    assert len(axes.containers) == 1
    assert not axes.texts


def test_run_without_memory_is_refused(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="no memory figures yet"):
        memory_figure(record)


def test_prediction_is_called_projected_and_needs_no_run() -> None:
    figure = predicted_memory_figure([PARTS])
    assert figure.axes[0].get_title("right") == KIND_NOTES["projected"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["8 MB"]
    with pytest.raises(ValueError, match="no rank to draw"):
        predicted_memory_figure([])


def test_ranks_that_do_not_fit_are_marked() -> None:
    figure = predicted_memory_figure([PARTS, {"parameters": 1e6}], limit_bytes=7e6)
    texts = figure.axes[0].texts
    assert [text.get_color() == VERMILLION for text in texts] == [True, False]
    assert alt_of(figure).endswith("too much on rank 0")
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "memory of the device: 7 MB" in labels


def test_limit_far_above_does_not_flatten_the_bars() -> None:
    axes = predicted_memory_figure([PARTS], limit_bytes=80e9).axes[0]
    assert axes.get_ylim()[1] < 11e6
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "memory of the device: 80 GB, far above" in labels
