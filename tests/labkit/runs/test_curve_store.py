"""Curves on disk: each comes back, damaged ones are said to be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from labkit.errors import SettingError
from labkit.runs.curve import Curve
from labkit.runs.curve_store import CurveStore
from labkit.runs.store import RunStore


def test_a_curve_comes_back_as_it_was(tmp_path: Path, curve: Curve) -> None:
    name = CurveStore(tmp_path).save(curve)
    assert CurveStore(tmp_path).load(name) == curve
    assert CurveStore(tmp_path).load(name).points[1].runs == ("a", "b")


def test_the_list_tells_what_each_sweep_was(tmp_path: Path, curve: Curve) -> None:
    name = CurveStore(tmp_path).save(curve)
    (entry,) = CurveStore(tmp_path).list()
    assert (entry.sweep, entry.workload, entry.kind) == (name, "fruit", "measured")
    assert (entry.strategies, entry.devices, entry.best_speedup) == (("data",), (1, 2), 1.8)
    assert json.loads(json.dumps(entry.to_json()))["devices"] == [1, 2]


def test_curves_are_no_runs(tmp_path: Path, curve: Curve) -> None:
    CurveStore(tmp_path).save(curve)
    assert RunStore(tmp_path).list() == ()


def test_there_is_nothing_where_nothing_was_saved(tmp_path: Path) -> None:
    assert CurveStore(tmp_path).list() == ()
    with pytest.raises(SettingError, match="sweep 'sweep-1' is unknown: there is none"):
        CurveStore(tmp_path).load("sweep-1")


def test_an_empty_curve_is_kept(tmp_path: Path, curve: Curve) -> None:
    curve.points = []
    CurveStore(tmp_path).save(curve)
    assert CurveStore(tmp_path).list()[0].best_speedup == 0.0


def test_unknown_entries_of_later_versions_are_left_out(tmp_path: Path, curve: Curve) -> None:
    name = CurveStore(tmp_path).save(curve)
    path = tmp_path / "curves" / f"{name}.json"
    values = json.loads(path.read_text())
    values["energy_j"] = values["points"][0]["energy_j"] = 1.0
    del values["device"], values["points"][0]["lateness"]
    path.write_text(json.dumps(values))
    assert CurveStore(tmp_path).load(name) == curve


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"points": [{}]}', '{"points": [1]}'])
def test_a_damaged_curve_is_an_entry_that_says_so(
    tmp_path: Path, curve: Curve, damage: str
) -> None:
    store = CurveStore(tmp_path)
    name = store.save(curve)
    (tmp_path / "curves" / f"{name}.json").write_text(damage)
    (entry,) = store.list()
    assert "holds no readable curve" in entry.damage
    with pytest.raises(SettingError, match="holds no readable curve"):
        store.load(name)
    assert store.delete(name) == name
    assert store.list() == ()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, curve: Curve) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match=r"cannot be written to .*file"):
        CurveStore(tmp_path / "file").save(curve)
