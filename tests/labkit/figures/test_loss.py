"""The picture of the loss shows the steps there are, and grows with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from labkit.figures.loss import LossPicture, loss_figure, running_mean
from labkit.figures.style import DARK, KIND_NOTES
from labkit.plan import Plan
from labkit.runs.record import RunRecord, Step


def test_line_holds_every_step_against_its_number(record: RunRecord) -> None:
    axes = loss_figure(record).axes[0]
    steps, losses = axes.lines[0].get_data()
    assert list(steps) == list(range(1, 11))
    assert list(losses) == record.losses
    assert axes.get_xlabel() == "optimiser step"


def test_axis_is_as_wide_as_the_plan_until_the_run_has_ended(record: RunRecord) -> None:
    record.status = "running"
    picture = LossPicture(record)
    assert picture.axes.get_xlim() == (0, 20)
    record.status = "stopped"
    assert picture.update(record)
    assert picture.axes.get_xlim() == (0, 10)


def test_title_names_the_run_and_that_it_was_measured(record: RunRecord) -> None:
    axes = loss_figure(record).axes[0]
    assert axes.get_title("left") == "Loss: text, data, 2 ranks"
    assert axes.get_title("right") == KIND_NOTES["measured"]


def test_note_tells_the_accuracy_before_and_after(record: RunRecord) -> None:
    record.accuracy = {"samples": 100, "before": 0.1, "correct": 0.925}
    texts = [text.get_text() for text in loss_figure(record).axes[0].texts]
    assert "held-out samples right: 10.0% before, 92.5% after" in texts[0]


def test_running_mean_starts_with_what_there_is() -> None:
    assert running_mean([4.0, 2.0, 0.0, 4.0], 2) == [4.0, 3.0, 1.0, 2.0]
    assert running_mean([], 5) == []


def test_update_redraws_the_background_only_when_the_axis_changes(record: RunRecord) -> None:
    record.status = "running"
    picture = LossPicture(record)
    record.steps.append(Step(10, 0.19, 64, 0.1, 1.1))
    assert not picture.update(record)
    assert picture.alt.endswith("step 11 of 20, 0.19")
    record.steps.append(Step(11, 50.0, 64, 0.1, 1.2))
    assert picture.update(record)
    assert picture.axes.get_ylim()[1] >= 10.0  # the running mean rose to 10.2


def test_axis_becomes_logarithmic_when_the_loss_has_fallen_far(record: RunRecord) -> None:
    picture = LossPicture(record)
    assert picture.axes.get_yscale() == "linear"
    record.steps += [Step(n, 1e-4, 64, 0.1, n / 10) for n in range(10, 20)]
    assert picture.update(record)
    assert picture.axes.get_yscale() == "log"
    assert picture.axes.get_ylabel() == "loss, logarithmic"


@pytest.mark.parametrize("losses", [[], [float("nan")], [float("inf"), 1.0], [0.0]])
def test_odd_losses_are_drawn_without_a_warning(record: RunRecord, losses: list[float]) -> None:
    record.steps = [Step(n, loss, 64, 0.1, n / 10) for n, loss in enumerate(losses)]
    figure = loss_figure(record, DARK)
    figure.savefig("/dev/null", format="png")
    assert np.isfinite(figure.axes[0].get_ylim()).all()


def test_emulated_run_carries_its_remark(record: RunRecord, emulated: dict[str, Any]) -> None:
    record.kind, record.emulation = emulated["kind"], emulated["emulation"]
    figure = loss_figure(record)
    assert figure.axes[0].get_title("right").startswith("EMULATED on demo")
    assert [text.get_text() for text in figure.texts][1] == "UNTRUSTWORTHY: 8% late"


def test_single_device_is_called_one_rank(record: RunRecord) -> None:
    record.plan, record.strategy, record.world_size = Plan().to_dict(), "single", 1
    assert loss_figure(record).axes[0].get_title("left") == "Loss: text, single, 1 rank"
