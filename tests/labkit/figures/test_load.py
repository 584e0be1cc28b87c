"""How busy devices were: GPUs in percent, CPU ranks in cores."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from labkit.figures.load import load_figure
from labkit.figures.picture import alt_of
from labkit.plan import Plan
from labkit.runs.record import Load, RunRecord

GPUS = [{"rank": rank, "device": f"GPU {rank}"} for rank in range(2)]
SAMPLES = [
    Load(0, 0.5, 0.8, 3 * 10**9),
    Load(1, 0.5, 0.2, 10**9),
    Load(0, 1.0, 0.6, 4 * 10**9),
    Load(1, 1.0, 0.4, 10**9),
]


def test_gpus_are_drawn_in_percent_with_their_memory(
    make_record: Callable[..., RunRecord],
) -> None:
    figure = load_figure(make_record(Plan(dp=2), 5, load=SAMPLES, devices=GPUS))
    axes = figure.axes[0]
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines == {
        "rank 0": pytest.approx([80, 60]),
        "rank 1": pytest.approx([20, 40]),
    }
    assert axes.get_ylim() == (0, 100)
    assert axes.get_ylabel() == "utilisation (%)"
    assert "mean 50 %, at most 4 GB of a GPU in use" in alt_of(figure)
    assert "Mean of each: rank 0 70 %, rank 1 30 %" in alt_of(figure)


def test_cpu_ranks_are_drawn_in_cores(make_record: Callable[..., RunRecord]) -> None:
    devices = [{"rank": 0, "device": "CPU"}]
    load = [Load(0, 0.5, 0.9, 10**8), Load(0, 1.0, 1.3, 10**8)]
    figure = load_figure(make_record(Plan(), 5, load=load, devices=devices))
    axes = figure.axes[0]
    assert list(axes.lines[0].get_ydata()) == pytest.approx([0.9, 1.3])
    assert axes.get_ylim() == (0, 1.5)
    assert axes.get_ylabel() == "processor cores"
    assert "mean 1.10 cores, at most 100 MB a process in use" in alt_of(figure)


def test_a_run_whose_devices_tell_nothing_is_refused(
    make_record: Callable[..., RunRecord],
) -> None:
    silent = make_record(Plan(), 5, load=[Load(0, 0.5, None, 10**9)], devices=GPUS[:1])
    with pytest.raises(ValueError, match="no device has told how busy it was"):
        load_figure(silent)
