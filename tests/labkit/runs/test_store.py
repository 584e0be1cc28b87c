"""The run store: what was kept is listed, found, noted and deleted, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import SettingError
from labkit.runs.record import RunRecord
from labkit.runs.record_files import RECORD_FILE, SPANS_FILE
from labkit.runs.store import NOTE_FILE, RunStore

MakeRun = Callable[..., RunRecord]

RUNS = ("20260101-000000-abc", "20260102-120000-abd", "20260102-120000-xyz")


@pytest.fixture
def store(tmp_path: Path, make_run: MakeRun) -> RunStore:
    """A store with three runs."""
    store = RunStore(tmp_path / "runs")
    for run in RUNS:
        store.save(make_run(run))
    return store


def test_the_list_tells_what_each_run_was_newest_first(
    store: RunStore, make_run: MakeRun, emulation: dict[str, Any]
) -> None:
    store.save(make_run("20251231-000000-old", kind="emulated", emulation=emulation))
    store.note(RUNS[0], "first try")
    entries = store.list()
    assert [entry.run for entry in entries] == [*RUNS[::-1], "20251231-000000-old"]
    first = entries[2]
    assert first.when == datetime(2026, 1, 1)
    assert (first.kind, first.workload, first.strategy, first.devices, first.status) == (
        "measured", "fruit", "data", 2, "done",
    )  # fmt: skip
    assert (first.final_loss, first.note, first.damage) == (0.5, "first try", "")
    assert first.throughput_samples_per_s == pytest.approx(320)
    assert entries[3].emulation["device"] == "demo"
    assert entries[0].to_json()["when"] == "2026-01-02 12:00:00"


def test_a_store_that_was_never_used_is_empty(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "none")
    assert store.list() == ()
    with pytest.raises(SettingError, match=r"run 'a' is unknown: there is none in .*none"):
        store.load("a")
    assert not (tmp_path / "none").exists()


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="file' is a file; choose the folder of the runs"):
        RunStore(tmp_path / "file").list()


def test_runs_survive_a_restart(store: RunStore, make_run: MakeRun) -> None:
    assert RunStore(str(store.folder)).load(RUNS[1]) == make_run(RUNS[1])


def test_a_beginning_that_no_other_run_has_is_enough(store: RunStore) -> None:
    assert store.load("20260101").run == RUNS[0]
    assert store.load("20260102-120000-x").run == RUNS[2]


def test_an_ambiguous_beginning_names_the_runs(store: RunStore) -> None:
    with pytest.raises(SettingError, match=f"ambiguous: {RUNS[2]}, {RUNS[1]}; give more of it"):
        store.load("20260102")


@pytest.mark.parametrize("wanted", ["20260101-000000-abx", "zzz", "", "../runs", "."])
def test_an_unknown_run_names_near_ones(store: RunStore, wanted: str) -> None:
    with pytest.raises(SettingError, match=r"is unknown; near ones are .*20260101-000000-abc"):
        store.load(wanted)


def test_other_folders_are_not_runs(store: RunStore) -> None:
    (store.folder / "curves").mkdir()
    (store.folder / "pictures").mkdir()
    (store.folder / "pictures" / "speedup.png").touch()
    (store.folder / "notes.txt").touch()
    assert len(store.list()) == len(RUNS)


@pytest.mark.parametrize("missing", [RECORD_FILE, SPANS_FILE])
def test_a_half_written_record_is_an_entry_that_says_so(store: RunStore, missing: str) -> None:
    (store.folder / RUNS[2] / missing).unlink()
    damaged, *whole = store.list()
    assert (damaged.run, damaged.kind) == (RUNS[2], "")
    assert f"{missing} is missing: half-written" in damaged.damage
    assert [entry.damage for entry in whole] == ["", ""]
    with pytest.raises(SettingError, match="half-written"):
        store.load(RUNS[2])


def test_a_write_that_was_killed_is_an_entry_that_says_so(store: RunStore) -> None:
    folder = store.folder / "20260103-000000-new"
    folder.mkdir()
    (folder / f"{SPANS_FILE}.77-ab12cd.partial").write_bytes(b"PAR1")
    assert "half-written" in store.list()[0].damage
    store.delete("20260103")
    assert not folder.exists()


def test_a_run_without_a_time_in_its_name_takes_that_of_its_files(
    store: RunStore, make_run: MakeRun
) -> None:
    store.save(make_run("20269999-000000-odd"))
    store.save(make_run("made-by-hand"))
    newest = {entry.run for entry in store.list()[:2]}
    assert newest == {"20269999-000000-odd", "made-by-hand"}


def test_a_note_is_one_line_beside_the_record(store: RunStore, make_run: MakeRun) -> None:
    assert store.note("20260101", "warm-up\n  too short") == RUNS[0]
    assert RunStore(store.folder).note_of(RUNS[0]) == "warm-up too short"
    store.note(RUNS[0], "kept for the report")
    assert store.note_of(RUNS[0]) == "kept for the report"
    assert store.load(RUNS[0]) == make_run(RUNS[0])
    store.note(RUNS[0], "")
    assert store.note_of(RUNS[0]) == ""
    assert not (store.folder / RUNS[0] / NOTE_FILE).exists()


def test_delete_removes_that_run_and_no_other(store: RunStore) -> None:
    store.note(RUNS[0], "old")
    assert store.delete("20260101") == RUNS[0]
    assert [entry.run for entry in store.list()] == [RUNS[2], RUNS[1]]
    assert not (store.folder / RUNS[0]).exists()


def test_a_damaged_run_can_be_deleted(store: RunStore) -> None:
    (store.folder / RUNS[1] / RECORD_FILE).write_text("{")
    store.delete(RUNS[1])
    assert [entry.run for entry in store.list()] == [RUNS[2], RUNS[0]]


@pytest.mark.parametrize("name", ["thesis.tex", "record.json.bak", "notes"])
def test_a_folder_with_anything_else_is_not_deleted(store: RunStore, name: str) -> None:
    foreign = store.folder / RUNS[0] / name
    if name == "notes":
        foreign.mkdir()
    else:
        foreign.write_text("mine")
    with pytest.raises(SettingError, match=f"also holds {name}, so it is not deleted"):
        store.delete(RUNS[0])
    assert foreign.exists()
    assert store.load(RUNS[0]).run == RUNS[0]


def test_a_link_is_not_deleted(store: RunStore, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    (store.folder / RUNS[0]).rename(moved)
    (store.folder / RUNS[0]).symlink_to(moved)
    assert store.load(RUNS[0]).run == RUNS[0]
    with pytest.raises(SettingError, match="is a link, so it is not deleted"):
        store.delete(RUNS[0])
    assert (moved / RECORD_FILE).exists()


def test_writers_of_different_runs_and_a_reader_do_not_disturb_each_other(
    tmp_path: Path, make_run: MakeRun
) -> None:
    names = [f"20260101-{i:06d}-run" for i in range(40)]

    def save(run: str) -> None:
        RunStore(tmp_path).save(make_run(run))
        RunStore(tmp_path).note(run, f"note of {run}")

    with ThreadPoolExecutor(4) as pool:
        writes = [pool.submit(save, name) for name in names]
        while not all(write.done() for write in writes):
            for entry in RunStore(tmp_path).list():
                assert not entry.damage or "half-written" in entry.damage
        for write in writes:
            write.result()
    entries = RunStore(tmp_path).list()
    assert [entry.run for entry in entries] == names[::-1]
    assert all(entry.note == f"note of {entry.run}" and not entry.damage for entry in entries)
