"""Ages of the parameters of an asynchronous server's updates."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.figures.picture import alt_of
from labkit.figures.staleness import staleness_figure
from labkit.plan import Plan
from labkit.runs.record import RunRecord


@pytest.fixture
def stale(make_record: Callable[..., RunRecord]) -> RunRecord:
    """Ten updates, of ages 0 to 3."""
    plan = Plan(dp=3, sync="async_parameter_server", max_staleness=2)
    return make_record(plan, 5, staleness=[0, 0, 1, 1, 1, 1, 2, 2, 3, 3])


def test_bars_count_the_updates_of_each_age(stale: RunRecord) -> None:
    axes = staleness_figure(stale).axes[0]
    heights = {round(bar.get_x() + 0.4): bar.get_height() for bar in axes.patches}
    assert heights == {0: 2, 1: 4, 2: 2, 3: 2}


def test_mean_and_bound_are_told(stale: RunRecord) -> None:
    figure = staleness_figure(stale)
    said = [text.get_text() for text in figure.axes[0].texts]
    assert "mean 1.40, most 3; no worker may be more than 2 steps ahead" in said
    assert "40%" in said
    assert "Share by age: 0: 20%, 1: 40%" in alt_of(figure)


def test_run_without_staleness_is_refused(record: RunRecord) -> None:
    with pytest.raises(ValueError, match="only sync=async_parameter_server has"):
        staleness_figure(record)
