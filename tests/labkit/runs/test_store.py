"""Records on disk: whole, or said to be damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import SettingError
from labkit.runs.record import RunRecord, Span, Step
from labkit.runs.store import RECORD_FILE, load_record, save_record


def make_record() -> RunRecord:
    return RunRecord(
        run="20260101-000000-abc",
        workload={"name": "fruit", "global_batch": 64},
        plan={"dp": 2, "pp": 1, "tp": 1},
        strategy="data",
        world_size=2,
        planned_steps=3,
        status="done",
        warmup_steps=1,
        steps=[Step(0, 0.7, 64, 0.5, 0.5), Step(1, 0.6, 64, 0.1, 0.6), Step(2, 0.5, 64, 0.3, 0.9)],
        spans=[Span(0, 0, "forward", "step", 0.0, 0.1, -1, 0, 0)],
    )


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    record = make_record()
    folder = save_record(record, tmp_path)
    assert folder == tmp_path / record.run
    assert load_record(folder) == record


def test_a_record_without_spans_comes_back_too(tmp_path: Path) -> None:
    record = make_record()
    record.spans = []
    assert load_record(save_record(record, tmp_path)).spans == []


def test_warm_up_steps_are_left_out_of_the_throughput() -> None:
    record = make_record()
    assert record.step_time_s == pytest.approx(0.2)
    assert record.throughput_samples_per_s == pytest.approx(128 / 0.4)
    record.steps = record.steps[:1]
    assert record.throughput_samples_per_s == pytest.approx(128)
    record.steps = []
    assert record.throughput_samples_per_s == 0.0


@pytest.mark.parametrize("damage", ["", "{", '{"steps": 3}'])
def test_a_damaged_record_is_reported(tmp_path: Path, damage: str) -> None:
    folder = save_record(make_record(), tmp_path)
    (folder / RECORD_FILE).write_text(damage)
    with pytest.raises(SettingError, match="holds no readable record"):
        load_record(folder)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"cannot be written to .*file"):
        save_record(make_record(), tmp_path / "file")
