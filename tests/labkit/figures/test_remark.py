"""What pictures of emulated runs never leave out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labkit.figures.attribution import attribution_figure
from labkit.figures.curves import curves_figure
from labkit.figures.loss import loss_figure
from labkit.figures.losses import losses_figure
from labkit.figures.remark import emulation_of, remark_on, remark_on_curves, remark_on_kinds
from labkit.figures.speedup import efficiency_figure, speedup_figure
from labkit.figures.style import KIND_NOTES
from labkit.figures.timeline import timeline_figure
from labkit.figures.timelines import compare_timelines_figure
from labkit.plan import Plan
from labkit.runs.curve import Curve
from labkit.runs.record import RunRecord

MakeRecord = Callable[..., RunRecord]
CHECKS = "checks protocol, schedule and overlap; cannot validate the device description"


def test_measured_run_needs_no_remark(record: RunRecord, curve: Curve) -> None:
    for remark in (remark_on([record]), remark_on_curves([curve])):
        assert (remark.kind_note, remark.text, remark.warning) == (KIND_NOTES["measured"], "", "")
        assert remark.height_in == 0
        assert remark.spoken == ""


def test_emulated_run_names_device_and_scale(
    make_record: MakeRecord, emulated: dict[str, Any]
) -> None:
    remark = remark_on([make_record(Plan(dp=2), 3, **emulated)])
    assert remark.text == f"emulated demo, time x 35: {CHECKS}"
    assert remark.kind_note == "EMULATED on demo: real ranks, declared speed"
    assert remark.warning == "UNTRUSTWORTHY: 8% late"


@pytest.mark.parametrize(("lateness", "warned"), [(None, False), (0.05, False), (0.051, True)])
def test_warning_begins_above_five_per_cent(
    make_record: MakeRecord, emulated: dict[str, Any], lateness: float | None, warned: bool
) -> None:
    record = make_record(Plan(dp=2), 3, **emulated)
    record.emulation = {**record.emulation, "lateness": lateness}
    assert bool(remark_on([record]).warning) is warned


def test_kinds_in_one_picture_are_both_named(
    make_record: MakeRecord, emulated: dict[str, Any], record: RunRecord
) -> None:
    remark = remark_on([record, make_record(Plan(dp=2), 3, **emulated)])
    assert remark.kind_note == "MEASURED and EMULATED on demo"
    assert remark.text.startswith("emulated demo")


def test_several_late_runs_are_counted(make_record: MakeRecord, emulated: dict[str, Any]) -> None:
    on_time = {**emulated, "emulation": {**emulated["emulation"], "lateness": 0.0}}
    records = [make_record(Plan(dp=2), 3, **fields) for fields in (emulated, on_time, emulated)]
    assert remark_on(records).warning == "UNTRUSTWORTHY: 2 of 3 up to 8% late"


def test_record_of_an_earlier_version_has_no_emulation() -> None:
    class Old:
        kind = "measured"

    assert emulation_of(Old()) == {}  # type: ignore[arg-type]
    assert remark_on_kinds(["emulated"]).text == f"emulated device: {CHECKS}"


def test_every_picture_of_an_emulated_run_carries_the_remark(
    make_record: MakeRecord, emulated: dict[str, Any], emulated_curve: Curve
) -> None:
    record = make_record(Plan(pp=2, microbatches=4), 5, **emulated)
    record.attribution_s = {"compute": 1.0}
    figures = [
        timeline_figure(record),
        loss_figure(record),
        losses_figure([record]),
        attribution_figure(record),
        compare_timelines_figure([record]),
        speedup_figure(emulated_curve),
        efficiency_figure(emulated_curve),
        curves_figure([emulated_curve]),
    ]
    for figure in figures:
        said = [text.get_text() for text in figure.texts]
        assert said[0] == f"emulated demo, time x 35: {CHECKS}"
        assert said[1].startswith("UNTRUSTWORTHY")
        assert figure.axes[0].get_title("right").startswith("EMULATED on demo")


def test_remark_and_warning_do_not_meet(emulated_curve: Curve) -> None:
    figure = speedup_figure(emulated_curve)
    figure.draw_without_rendering()
    remark, warning = (text.get_window_extent() for text in figure.texts)
    assert remark.x1 < warning.x0
    assert remark.x0 > 0
    assert warning.x1 < 900
    assert figure.axes[0].xaxis.label.get_window_extent().y0 > remark.y1
