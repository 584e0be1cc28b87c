"""Records on disk: whole, or said to be damaged; written by this version or another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labkit.errors import SettingError
from labkit.runs import record_files
from labkit.runs.record import RunRecord
from labkit.runs.record_files import (
    RECORD_FILE,
    SPANS_FILE,
    load_record,
    load_without_spans,
    save_record,
)

MakeRun = Callable[..., RunRecord]

# The fields that the version before this one wrote.
FIRST_VERSION = (
    "run", "workload", "plan", "strategy", "world_size", "planned_steps", "kind", "status",
    "devices", "host", "versions", "warmup_steps", "steps", "startup_s", "comm_bytes",
    "memory_bytes_per_rank", "attribution_s", "wall_s", "accuracy", "restarts", "error",
)  # fmt: skip


def test_a_record_comes_back_as_it_was(tmp_path: Path, make_run: MakeRun) -> None:
    record = make_run()
    folder = save_record(record, tmp_path)
    assert folder == tmp_path / record.run
    assert load_record(folder) == record
    assert sorted(path.name for path in folder.iterdir()) == [RECORD_FILE, SPANS_FILE]


@pytest.mark.parametrize("damaged", ["recoveries", "leaders", "attacks"])
def test_what_happened_comes_back_unless_it_is_damaged(
    tmp_path: Path, make_run: MakeRun, damaged: str
) -> None:
    record = make_run()
    record.recoveries = [{"attempt": 1, "cause": "died", "recovery_s": None}]
    record.leaders = [{"term": 1, "rank": 0, "ended": "died"}]
    record.attacks = [{"what": "kill_rank", "target": 0, "at_s": 1.5, "step": 3}]
    folder = save_record(record, tmp_path)
    assert load_record(folder) == record
    setattr(record, damaged, [3])
    with pytest.raises(SettingError, match="recoveries, leaders or attacks"):
        load_record(save_record(record, tmp_path))


def test_a_record_is_for_its_owner_only(tmp_path: Path, make_run: MakeRun) -> None:
    folder = save_record(make_run(), tmp_path / "runs")
    assert folder.stat().st_mode & 0o077 == 0


def test_a_record_without_spans_comes_back_too(tmp_path: Path, make_run: MakeRun) -> None:
    assert load_record(save_record(make_run(spans=[]), tmp_path)).spans == []


def test_the_json_alone_gives_all_but_the_spans(tmp_path: Path, make_run: MakeRun) -> None:
    record = make_run()
    quick = load_without_spans(save_record(record, tmp_path))
    assert (quick.steps, quick.spans) == (record.steps, [])


def test_a_diverged_loss_comes_back(tmp_path: Path, make_run: MakeRun) -> None:
    record = make_run()
    record.steps[2] = record.steps[2]._replace(loss=float("nan"))
    assert str(load_record(save_record(record, tmp_path)).losses) == "[0.7, 0.6, nan]"


def test_warm_up_steps_are_left_out_of_the_throughput(make_run: MakeRun) -> None:
    record = make_run()
    assert record.step_time_s == pytest.approx(0.2)
    assert record.throughput_samples_per_s == pytest.approx(128 / 0.4)
    record.steps = record.steps[:1]
    assert record.throughput_samples_per_s == pytest.approx(128)
    record.steps = []
    assert record.throughput_samples_per_s == 0.0


def test_a_record_of_the_version_before_has_defaults(tmp_path: Path, make_run: MakeRun) -> None:
    folder = save_record(make_run(), tmp_path)
    values = json.loads((folder / RECORD_FILE).read_text())
    assert set(FIRST_VERSION) < set(values)
    values = {name: values[name] for name in FIRST_VERSION}
    values["plan"] = {"dp": 2, "pp": 1, "tp": 1, "schedule": "1f1b", "microbatches": 1}
    (folder / RECORD_FILE).write_text(json.dumps(values))
    record = load_record(folder)
    assert (record.emulation, record.ideal, record.repeats, record.num_samples) == ({}, {}, "", 0)
    assert record.losses == [0.7, 0.6, 0.5]


def test_what_a_later_version_added_is_left_out(tmp_path: Path, make_run: MakeRun) -> None:
    record = make_run()
    folder = save_record(record, tmp_path)
    values = json.loads((folder / RECORD_FILE).read_text())
    values["energy_j"] = 3.5
    values["steps"] = [[*step, "later"] for step in values["steps"]]
    (folder / RECORD_FILE).write_text(json.dumps(values))
    table = pq.read_table(folder / SPANS_FILE)
    later = table.add_column(0, "energy_j", pa.array([1.0] * table.num_rows))
    pq.write_table(later, folder / SPANS_FILE)
    assert load_record(folder) == record


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"steps": 3}', '{"run": "a"}', "null", "\xff\xfe"]
)
@pytest.mark.parametrize("load", [load_record, load_without_spans])
def test_a_damaged_record_is_reported(
    tmp_path: Path, make_run: MakeRun, damage: str, load: Callable[[Path], RunRecord]
) -> None:
    folder = save_record(make_run(), tmp_path)
    (folder / RECORD_FILE).write_text(damage, encoding="latin-1")
    with pytest.raises(SettingError, match="holds no readable record"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "guessed"),
        ("plan", {"dp": 2}),
        ("plan", None),
        ("workload", {"global_batch": 2}),
        ("workload", {"name": 3}),
        ("steps", [[0, "low", 64, 0.1, 0.1]]),
        ("steps", [[0, 0.5]]),
        ("emulation", "demo"),
    ],
)
def test_a_record_of_other_values_is_damaged(
    tmp_path: Path, make_run: MakeRun, name: str, value: object
) -> None:
    folder = save_record(make_run(), tmp_path)
    values = json.loads((folder / RECORD_FILE).read_text())
    (folder / RECORD_FILE).write_text(json.dumps(values | {name: value}))
    with pytest.raises(SettingError, match="holds no readable record"):
        load_without_spans(folder)


@pytest.mark.parametrize("num_bytes", [0, 3, 40, -3])
@pytest.mark.parametrize("load", [load_record, load_without_spans])
def test_spans_that_were_cut_short_are_reported(
    tmp_path: Path, make_run: MakeRun, num_bytes: int, load: Callable[[Path], RunRecord]
) -> None:
    folder = save_record(make_run(), tmp_path)
    whole = (folder / SPANS_FILE).read_bytes()
    (folder / SPANS_FILE).write_bytes(whole[:num_bytes])
    with pytest.raises(SettingError, match="holds no readable record"):
        load(folder)


def test_a_disk_that_fills_up_leaves_no_half_record(
    tmp_path: Path, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_files, "write_whole", full)
    with pytest.raises(SettingError, match="No space left on device"):
        save_record(make_run(), tmp_path)
    with pytest.raises(SettingError, match=r"record\.json is missing: half-written"):
        load_record(tmp_path / make_run().run)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, make_run: MakeRun) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"cannot be written to .*file"):
        save_record(make_run(), tmp_path / "file")
